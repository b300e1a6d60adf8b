// SPDX-License-Identifier: Apache-2.0
// Adafactor (arXiv:1804.04235): second moments of matrices kept as row and column means.
//
//   Adafactor optimizer(options, parameters, mesh);
//
// Factored over the last two dims of the logical shape, so the state does not depend on the layout.
#pragma once
#include "colossal/optim/slot_optimizer.h"

namespace colossal::optim {

class Adafactor final : public SlotOptimizer {
 public:
  Adafactor(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh);

 private:
  void update(const StepOptions& step) override;
  // The gradient over the root of its estimated second moment, in the logical dims of the local piece of parameter i.
  at::Tensor scaled_gradient(size_t i, const at::Tensor& gradient, double beta2);
  // Mean along a logical dim of a local piece, over all shards of that dim.
  at::Tensor mean_along(const at::Tensor& x, const tensor::Layout& layout, size_t dim) const;
  double rate(double learning_rate, double weight_rms) const;

  OptimizerOptions options_;
};

}  // namespace colossal::optim
