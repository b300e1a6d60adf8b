// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/sgd.h"

#include <cmath>

#include "colossal/optim/sharded_sums.h"

namespace colossal::optim {

Sgd::Sgd(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh)
    : SlotOptimizer(std::move(parameters), std::move(mesh),
                    options.momentum > 0 ? std::vector<SlotSpec>{{"momentum"}} : std::vector<SlotSpec>{}),
      options_(options) {}

void Sgd::update(const StepOptions& step) {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_gradient(i)) continue;
    at::Tensor w = weight(i);
    at::Tensor direction = gradient(i, step);
    const double decay = decay_of(i, options_.weight_decay);
    if (decay != 0) direction = direction.add(w, decay);
    if (options_.momentum > 0) {
      at::Tensor& momentum = slot(0, i).mul_(options_.momentum).add_(direction);
      direction = options_.nesterov ? direction.add(momentum, options_.momentum) : momentum;
    }
    w.add_(direction, -step.learning_rate);
  }
}

Lars::Lars(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh)
    : SlotOptimizer(std::move(parameters), std::move(mesh), {{"momentum"}}), options_(options) {}

void Lars::update(const StepOptions& step) {
  ShardedSums sums(mesh_);  // weight and gradient of parameter k at 2 k and 2 k + 1
  std::vector<size_t> updated;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_gradient(i)) continue;
    updated.push_back(i);
    sums.add(sum_of_squares(weight(i)), parameters_[i].layout());
    sums.add(sum_of_squares(gradient(i, step)), parameters_[i].layout());
  }
  sums.reduce();
  for (size_t k = 0; k < updated.size(); ++k) {
    const size_t i = updated[k];
    const double weight_norm = std::sqrt(sums[2 * k]), gradient_norm = std::sqrt(sums[2 * k + 1]);
    const double decay = decay_of(i, options_.weight_decay);
    const bool adapt = parameters_[i].spec.decay && weight_norm > 0 && gradient_norm > 0;
    const double trust =
        adapt ? options_.trust_coefficient * weight_norm / (gradient_norm + decay * weight_norm) : 1;
    at::Tensor w = weight(i);
    at::Tensor& momentum = slot(0, i).mul_(options_.momentum);
    momentum.add_(gradient(i, step), step.learning_rate * trust);
    if (decay != 0) momentum.add_(w, step.learning_rate * trust * decay);
    w.sub_(momentum);
  }
}

}  // namespace colossal::optim
