// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/adam.h"

#include <cmath>

#include "colossal/optim/adam_kernel.h"
#include "colossal/tensor/cast_cache.h"

namespace colossal::optim {
namespace {

constexpr size_t kExpAvg = 0, kExpAvgSq = 1, kMax = 2;

std::vector<SlotSpec> slots(bool amsgrad) {
  std::vector<SlotSpec> specs{{"exp_avg"}, {"exp_avg_sq"}};
  if (amsgrad) specs.push_back({"max_exp_avg_sq"});
  return specs;
}

template <typename T>
T* data_or_null(const at::Tensor& x) {
  return x.defined() ? x.data_ptr<T>() : nullptr;
}

// The cached bf16 copy of a weight, if nobody else holds it and it can be overwritten.
at::Tensor copy_to_renew(const at::Tensor& w) {
  at::Tensor copy = tensor::find_cast(w, at::kBFloat16);
  const bool free = copy.defined() && copy.use_count() == 2 && copy.is_contiguous();  // the cache and us
  return free ? copy : at::Tensor();
}

}  // namespace

Adam::Adam(const OptimizerOptions& options, Decay decay, std::vector<nn::Parameter> parameters,
           comm::Mesh mesh)
    : SlotOptimizer(std::move(parameters), std::move(mesh), slots(options.amsgrad)),
      options_(options),
      decay_(decay) {}

void Adam::update(const StepOptions& step) {
  const auto t = static_cast<double>(num_steps_);
  AdamCoefficients c{.beta1 = options_.beta1,
                     .beta2 = options_.beta2,
                     .eps = options_.eps,
                     .keep = 1,
                     .l2 = 0,
                     .step_size = step.learning_rate / (1 - std::pow(options_.beta1, t)),
                     .inverse_root = 1 / std::sqrt(1 - std::pow(options_.beta2, t)),
                     .gradient_scale = step.gradient_scale};
  bool any_cuda = false;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_gradient(i)) continue;
    const at::Tensor& w = parameters_[i].tensor;
    const double decay = decay_of(i, options_.weight_decay);
    c.keep = decay_ == Decay::decoupled ? 1 - step.learning_rate * decay : 1;
    c.l2 = decay_ == Decay::in_gradient ? decay : 0;
    if (w.is_cuda()) {
      any_cuda = true;
    } else if (w.is_cpu() && w.is_contiguous()) {
      update_on_cpu(i, c);
    } else {
      update_elementwise(i, c);
    }
  }
  if (any_cuda) update_on_cuda(step);
}

void Adam::update_on_cpu(size_t i, const AdamCoefficients& c) {
  const at::Tensor& w = parameters_[i].tensor;
  const at::Tensor g = w.grad().to(w.scalar_type()).contiguous();
  const at::Tensor max = options_.amsgrad ? slot(kMax, i) : at::Tensor();
  const at::Tensor copy = copy_to_renew(w);
  const auto run = [&]<typename T>(T) {
    adam_kernel(AdamTensors<T>{.weight = w.data_ptr<T>(),
                               .gradient = g.const_data_ptr<T>(),
                               .exp_avg = slot(kExpAvg, i).data_ptr<T>(),
                               .exp_avg_sq = slot(kExpAvgSq, i).data_ptr<T>(),
                               .max_exp_avg_sq = data_or_null<T>(max),
                               .copy = data_or_null<at::BFloat16>(copy)},
                w.numel(), c);
  };
  if (w.scalar_type() == at::kDouble) {
    run(double{});
  } else {
    run(float{});
  }
  w.unsafeGetTensorImpl()->bump_version();  // written through a raw pointer
  if (copy.defined()) tensor::store_cast(w, copy);
}

void Adam::update_elementwise(size_t i, const AdamCoefficients& c) {
  at::Tensor w = parameters_[i].tensor;
  at::Tensor g = w.grad().to(w.scalar_type()) * c.gradient_scale;
  if (c.l2 != 0) g.add_(w, c.l2);
  slot(kExpAvg, i).mul_(c.beta1).add_(g, 1 - c.beta1);
  at::Tensor second = slot(kExpAvgSq, i).mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
  if (options_.amsgrad) second = at::max_out(slot(kMax, i), slot(kMax, i), second);
  w.mul_(c.keep).addcdiv_(slot(kExpAvg, i), second.sqrt().mul_(c.inverse_root).add_(c.eps), -c.step_size);
}

void Adam::update_on_cuda(const StepOptions& step) {
  struct Lists {
    std::vector<at::Tensor> weights, gradients, exp_avgs, exp_avg_sqs, maxima, steps;
  };
  std::map<std::pair<at::ScalarType, double>, Lists> groups;  // the operator takes one dtype and one decay
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const at::Tensor& w = parameters_[i].tensor;
    if (!has_gradient(i) || !w.is_cuda()) continue;
    Lists& l = groups[{w.scalar_type(), decay_of(i, options_.weight_decay)}];
    l.weights.push_back(w.detach());
    l.gradients.push_back(gradient(i, step).contiguous());
    l.exp_avgs.push_back(slot(kExpAvg, i));
    l.exp_avg_sqs.push_back(slot(kExpAvgSq, i));
    if (options_.amsgrad) l.maxima.push_back(slot(kMax, i));
  }
  const bool decoupled = decay_ == Decay::decoupled;
  for (auto& [key, l] : groups) {
    const at::Tensor t =
        at::full({}, static_cast<double>(num_steps_), l.weights[0].options().dtype(at::kFloat));
    l.steps.assign(l.weights.size(), t);  // read only
    if (decoupled) {
      at::_fused_adamw_(l.weights, l.gradients, l.exp_avgs, l.exp_avg_sqs, l.maxima, l.steps,
                        step.learning_rate, options_.beta1, options_.beta2, key.second, options_.eps,
                        options_.amsgrad, false);
    } else {
      at::_fused_adam_(l.weights, l.gradients, l.exp_avgs, l.exp_avg_sqs, l.maxima, l.steps,
                       step.learning_rate, options_.beta1, options_.beta2, key.second, options_.eps,
                       options_.amsgrad, false);
    }
  }
}

}  // namespace colossal::optim
