// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/slot_optimizer.h"

#include "colossal/tensor/redistribute.h"

namespace colossal::optim {

std::optional<tensor::Layout> slot_layout(const tensor::Layout& parameter, SlotSpec::Form form) {
  const size_t num_dims = parameter.shape().size();
  if (form == SlotSpec::Form::full) return parameter;
  if (form == SlotSpec::Form::vector) return num_dims < 2 ? std::optional(parameter) : std::nullopt;
  if (num_dims < 2) return std::nullopt;
  const auto dropped =
      static_cast<std::ptrdiff_t>(form == SlotSpec::Form::rows ? num_dims - 1 : num_dims - 2);
  tensor::Shape shape = parameter.shape();
  std::vector<tensor::Axes> dims = parameter.dims();
  shape.erase(shape.begin() + dropped);
  dims.erase(dims.begin() + dropped);
  return parameter.with_shape(std::move(shape), std::move(dims));
}

void SlotOptimizer::allocate() {
  if (slots_.size() == specs_.size()) return;
  for (const SlotSpec& spec : specs_) {
    std::vector<at::Tensor>& tensors = slots_.emplace_back();
    std::vector<at::Tensor>& parts = logical_slots_.emplace_back();
    for (const nn::Parameter& p : parameters_) {
      const auto layout = slot_layout(p.layout(), spec.form);
      at::Tensor& tensor = tensors.emplace_back();
      at::Tensor& part = parts.emplace_back();
      if (!layout) continue;
      const tensor::Shape shape =
          spec.form == SlotSpec::Form::full ? p.tensor.sizes().vec() : layout->local_shape();
      tensor = at::zeros(shape, p.tensor.options().requires_grad(false));
      part = tensor::without_padding(tensor, *layout, mesh_.rank());
    }
  }
}

void SlotOptimizer::step(const StepOptions& options) {
  at::NoGradGuard no_grad;
  allocate();
  ++num_steps_;
  update(options);
}

std::vector<StateTensor> SlotOptimizer::state() {
  allocate();
  std::vector<StateTensor> all;
  for (size_t s = 0; s < specs_.size(); ++s) {
    for (size_t i = 0; i < parameters_.size(); ++i) {
      const auto layout = slot_layout(parameters_[i].layout(), specs_[s].form);
      if (layout) all.push_back({specs_[s].name + "." + parameters_[i].name, slots_[s][i], *layout});
    }
  }
  return all;
}

at::Tensor SlotOptimizer::logical_part(const at::Tensor& local, size_t parameter) const {
  return tensor::without_padding(local, parameters_[parameter].layout(), mesh_.rank());
}

at::Tensor SlotOptimizer::gradient(size_t parameter, const StepOptions& options) const {
  const at::Tensor& p = parameters_[parameter].tensor;
  const at::Tensor g = logical_part(p.grad().contiguous(), parameter).to(p.scalar_type());
  return options.gradient_scale == 1 ? g : g * options.gradient_scale;
}

}  // namespace colossal::optim
