// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/adafactor.h"

#include <cmath>

#include "colossal/optim/sharded_sums.h"

namespace colossal::optim {
namespace {

constexpr size_t kRows = 0, kColumns = 1, kVector = 2, kMomentum = 3;

std::vector<SlotSpec> factored_slots(bool momentum) {
  std::vector<SlotSpec> specs{{"exp_avg_sq_row", SlotSpec::Form::rows},
                              {"exp_avg_sq_col", SlotSpec::Form::columns},
                              {"exp_avg_sq", SlotSpec::Form::vector}};
  if (momentum) specs.push_back({"exp_avg"});
  return specs;
}

}  // namespace

Adafactor::Adafactor(const OptimizerOptions& options, std::vector<nn::Parameter> parameters, comm::Mesh mesh)
    : SlotOptimizer(std::move(parameters), std::move(mesh), factored_slots(options.momentum > 0)),
      options_(options) {}

at::Tensor Adafactor::mean_along(const at::Tensor& x, const tensor::Layout& layout, size_t dim) const {
  at::Tensor sum = x.sum(static_cast<int64_t>(dim));
  sum_over(sum, layout.dims()[dim], mesh_);
  return sum.div_(static_cast<double>(layout.shape()[dim]));
}

at::Tensor Adafactor::scaled_gradient(size_t i, const at::Tensor& gradient, double beta2) {
  const tensor::Layout& layout = parameters_[i].layout();
  const size_t num_dims = layout.shape().size();
  const at::Tensor square = gradient.square().add_(options_.adafactor.square_eps);
  if (num_dims < 2) {
    return slot(kVector, i)
        .mul_(beta2)
        .add_(square.view(slot(kVector, i).sizes()), 1 - beta2)
        .rsqrt()
        .mul_(gradient);
  }
  at::Tensor& rows = slot(kRows, i).mul_(beta2).add_(mean_along(square, layout, num_dims - 1), 1 - beta2);
  at::Tensor& columns =
      slot(kColumns, i).mul_(beta2).add_(mean_along(square, layout, num_dims - 2), 1 - beta2);
  const tensor::Layout row_layout = *slot_layout(layout, SlotSpec::Form::rows);
  const at::Tensor row_mean = mean_along(rows, row_layout, num_dims - 2).unsqueeze(-1);
  return (rows / row_mean).rsqrt_().unsqueeze(-1) * columns.rsqrt().unsqueeze(-2) * gradient;
}

double Adafactor::rate(double learning_rate, double weight_rms) const {
  const auto& o = options_.adafactor;
  const auto t = static_cast<double>(num_steps_);
  const double base =
      o.relative_step ? std::min(o.warmup ? 1e-6 * t : 1e-2, 1 / std::sqrt(t)) : learning_rate;
  return o.scale_parameter ? base * std::max(o.scale_eps, weight_rms) : base;
}

void Adafactor::update(const StepOptions& step) {
  const double beta2 = 1 - std::pow(static_cast<double>(num_steps_), -options_.adafactor.decay_rate);
  ShardedSums sums(mesh_);  // weight and update of parameter k at 2 k and 2 k + 1
  std::vector<size_t> updated;
  std::vector<at::Tensor> updates;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_gradient(i)) continue;
    const tensor::Layout& layout = parameters_[i].layout();
    updated.push_back(i);
    updates.push_back(scaled_gradient(i, gradient(i, step).reshape(layout.slice(mesh_.rank()).size), beta2));
    sums.add(sum_of_squares(weight(i)), layout);
    sums.add(sum_of_squares(updates.back()), layout);
  }
  sums.reduce();
  for (size_t k = 0; k < updated.size(); ++k) {
    const size_t i = updated[k];
    at::Tensor w = weight(i);
    const auto numel = static_cast<double>(parameters_[i].layout().numel());
    const double weight_rms = std::sqrt(sums[2 * k] / numel), update_rms = std::sqrt(sums[2 * k + 1] / numel);
    const double rate = this->rate(step.learning_rate, weight_rms);
    const double clip = std::max(1.0, update_rms / options_.adafactor.clip_threshold);
    at::Tensor change = updates[k].mul_(rate / clip).view(w.sizes());
    if (options_.momentum > 0)
      change = slot(kMomentum, i).mul_(options_.momentum).add_(change, 1 - options_.momentum);
    const double decay = decay_of(i, options_.weight_decay);
    if (decay != 0) w.mul_(1 - rate * decay);
    w.sub_(change);
  }
}

}  // namespace colossal::optim
