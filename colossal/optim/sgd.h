// SPDX-License-Identifier: Apache-2.0
// Stochastic gradient descent with momentum (also Nesterov's), and LARS (arXiv:1708.03888, algorithm 1).
//
//   Lars optimizer(options, parameters, mesh);
#pragma once
#include "colossal/optim/slot_optimizer.h"

namespace colossal::optim {

class Sgd final : public SlotOptimizer {
 public:
  Sgd(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh);

 private:
  void update(const StepOptions& step) override;
  OptimizerOptions options_;
};

// The rate of each tensor is trust_coefficient * |w| / (|g| + decay |w|); 1 where a norm is 0 or decay does not apply.
class Lars final : public SlotOptimizer {
 public:
  Lars(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh);

 private:
  void update(const StepOptions& step) override;
  OptimizerOptions options_;
};

}  // namespace colossal::optim
