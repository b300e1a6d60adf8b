// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/lamb.h"

#include <cmath>

#include "colossal/optim/sharded_sums.h"

namespace colossal::optim {

Lamb::Lamb(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh)
    : SlotOptimizer(std::move(parameters), std::move(mesh), {{"exp_avg"}, {"exp_avg_sq"}}),
      options_(options) {}

at::Tensor Lamb::direction(size_t i) {
  const auto t = static_cast<double>(num_steps_);
  const double correction1 = options_.bias_correction ? 1 - std::pow(options_.beta1, t) : 1;
  const double correction2 = options_.bias_correction ? 1 - std::pow(options_.beta2, t) : 1;
  const at::Tensor denominator = (slot(1, i) / correction2).sqrt_().add_(options_.eps);
  at::Tensor u = (slot(0, i) / correction1).div_(denominator);
  const double decay = decay_of(i, options_.weight_decay);
  return decay == 0 ? u : u.add_(weight(i), decay);
}

// The direction is computed twice rather than kept: memory for one tensor, not for all.
void Lamb::update(const StepOptions& step) {
  ShardedSums sums(mesh_);  // weight and direction of parameter k at 2 k and 2 k + 1
  std::vector<size_t> updated;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_gradient(i)) continue;
    updated.push_back(i);
    const at::Tensor g = gradient(i, step);
    slot(0, i).mul_(options_.beta1).add_(g, 1 - options_.beta1);
    slot(1, i).mul_(options_.beta2).addcmul_(g, g, 1 - options_.beta2);
    sums.add(sum_of_squares(weight(i)), parameters_[i].layout());
    sums.add(sum_of_squares(direction(i)), parameters_[i].layout());
  }
  sums.reduce();
  for (size_t k = 0; k < updated.size(); ++k) {
    const size_t i = updated[k];
    const double weight_norm = std::sqrt(sums[2 * k]), direction_norm = std::sqrt(sums[2 * k + 1]);
    const bool adapt = parameters_[i].spec.decay && weight_norm > 0 && direction_norm > 0;
    at::Tensor w = weight(i);
    w.add_(direction(i), -step.learning_rate * (adapt ? weight_norm / direction_norm : 1));
  }
}

}  // namespace colossal::optim
