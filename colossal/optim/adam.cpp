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

AdamCoefficients Adam::coefficients(size_t i, const StepOptions& step) const {
  const auto t = static_cast<double>(num_steps_);
  const double decay = decay_of(i, options_.weight_decay);
  const bool decoupled = decay_ == Decay::decoupled;
  return {.beta1 = options_.beta1,
          .beta2 = options_.beta2,
          .eps = options_.eps,
          .keep = decoupled ? 1 - step.learning_rate * decay : 1,
          .l2 = decoupled ? 0 : decay,
          .step_size = step.learning_rate / (1 - std::pow(options_.beta1, t)),
          .inverse_root = 1 / std::sqrt(1 - std::pow(options_.beta2, t)),
          .gradient_scale = step.gradient_scale};
}

void Adam::update(const StepOptions& step) {
  std::vector<size_t> floats, doubles, cuda;
  for (size_t i = 0; i < parameters_.size(); ++i) {
    if (!has_gradient(i)) continue;
    const at::Tensor w = weight(i);
    if (w.is_cuda() && w.is_contiguous()) {
      cuda.push_back(i);
    } else if ((w.is_cpu() || w.is_meta()) && w.is_contiguous()) {
      (w.scalar_type() == at::kDouble ? doubles : floats).push_back(i);
    } else {
      update_elementwise(i, step);
    }
  }
  update_on_cpu<float>(floats, step);
  update_on_cpu<double>(doubles, step);
  update_on_cuda(cuda, step);
}

template <typename T>
void Adam::update_on_cpu(const std::vector<size_t>& which, const StepOptions& step) {
  std::vector<AdamJob<T>> jobs;
  std::vector<at::Tensor> gradients, copies;  // alive until the kernel has run
  for (size_t i : which) {
    const at::Tensor w = weight(i);
    gradients.push_back(gradient(i, {}).contiguous());
    copies.push_back(copy_to_renew(parameters_[i].tensor));
    if (w.is_meta()) continue;
    jobs.push_back(
        {.tensors = {.weight = w.data_ptr<T>(),
                     .gradient = gradients.back().const_data_ptr<T>(),
                     .exp_avg = slot(kExpAvg, i).data_ptr<T>(),
                     .exp_avg_sq = slot(kExpAvgSq, i).data_ptr<T>(),
                     .max_exp_avg_sq = options_.amsgrad ? slot(kMax, i).data_ptr<T>() : nullptr,
                     .copy = copies.back().defined() ? copies.back().data_ptr<at::BFloat16>() : nullptr},
         .numel = w.numel(),
         .coefficients = coefficients(i, step)});
  }
  adam_kernel(jobs);
  for (size_t k = 0; k < which.size(); ++k) {
    const at::Tensor& w = parameters_[which[k]].tensor;
    w.unsafeGetTensorImpl()->bump_version();  // written through a raw pointer
    if (copies[k].defined()) tensor::store_cast(w, copies[k]);
  }
}

void Adam::update_elementwise(size_t i, const StepOptions& step) {
  const AdamCoefficients c = coefficients(i, step);
  at::Tensor w = weight(i);
  at::Tensor g = gradient(i, {}) * c.gradient_scale;
  if (c.l2 != 0) g.add_(w, c.l2);
  slot(kExpAvg, i).mul_(c.beta1).add_(g, 1 - c.beta1);
  at::Tensor second = slot(kExpAvgSq, i).mul_(c.beta2).addcmul_(g, g, 1 - c.beta2);
  if (options_.amsgrad) second = at::max_out(slot(kMax, i), slot(kMax, i), second);
  w.mul_(c.keep).addcdiv_(slot(kExpAvg, i), second.sqrt().mul_(c.inverse_root).add_(c.eps), -c.step_size);
}

void Adam::update_on_cuda(const std::vector<size_t>& which, const StepOptions& step) {
  struct Lists {
    std::vector<at::Tensor> weights, gradients, exp_avgs, exp_avg_sqs, maxima, steps;
  };
  std::map<std::pair<at::ScalarType, double>, Lists> groups;  // the operator takes one dtype and one decay
  for (size_t i : which) {
    const at::Tensor w = weight(i);
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
