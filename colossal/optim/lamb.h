// SPDX-License-Identifier: Apache-2.0
// LAMB (arXiv:1904.00962, algorithm 2, phi the identity): Adam's direction, scaled per tensor to the weight's norm.
//
//   Lamb optimizer(options, parameters, mesh);
#pragma once
#include "colossal/optim/slot_optimizer.h"

namespace colossal::optim {

// The ratio of a tensor is |w| / |u|; 1 where a norm is 0 or decay does not apply.
class Lamb final : public SlotOptimizer {
 public:
  Lamb(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh);

 private:
  void update(const StepOptions& step) override;
  at::Tensor direction(size_t i);  // u of parameter i, from the moments
  OptimizerOptions options_;
};

}  // namespace colossal::optim
