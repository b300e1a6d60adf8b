// SPDX-License-Identifier: Apache-2.0
// Base of the optimizers: named state tensors ("slots") beside every parameter, each with the layout that a checkpoint needs.
//
//   struct Momentum : SlotOptimizer {
//     Momentum(...) : SlotOptimizer(parameters, mesh, {{"momentum"}}) {}
//     void update(const StepOptions& o) override { for (size_t i ...) slot(0, i).mul_(0.9).add_(gradient(i, o)) ... }
//   };
#pragma once
#include "colossal/optim/optimizer.h"

namespace colossal::optim {

struct SlotSpec {
  std::string name;
  // `rows` and `columns`: the parameter without its last, or its last but one, logical dim; only where there are two or more.
  // `vector`: like the parameter, only where there are fewer than two.
  enum class Form { full, rows, columns, vector } form = Form::full;
};

// Layout of a slot beside a parameter of this layout; no value where the form does not apply.
std::optional<tensor::Layout> slot_layout(const tensor::Layout& parameter, SlotSpec::Form form);

class SlotOptimizer : public Optimizer {
 public:
  void step(const StepOptions& options) final;
  std::vector<StateTensor> state() final;

 protected:
  SlotOptimizer(std::vector<nn::Parameter> parameters, comm::Mesh mesh, std::vector<SlotSpec> slots)
      : Optimizer(std::move(parameters), std::move(mesh)), specs_(std::move(slots)) {}

  virtual void update(const StepOptions& options) = 0;  // num_steps_ already counts this step; no autograd

  // What an optimizer works with is the logical part of the local tensors: padding is neither read nor written.
  at::Tensor weight(size_t parameter) const { return logical_part(parameters_[parameter].tensor, parameter); }
  at::Tensor& slot(size_t which, size_t parameter) { return logical_slots_[which][parameter]; }
  bool has_gradient(size_t parameter) const { return parameters_[parameter].tensor.grad().defined(); }
  // In the dtype of the parameter, scaled; may be the gradient itself and must not be written to.
  at::Tensor gradient(size_t parameter, const StepOptions& options) const;
  double decay_of(size_t parameter, double weight_decay) const {
    return parameters_[parameter].spec.decay ? weight_decay : 0;
  }

 private:
  void allocate();
  at::Tensor logical_part(const at::Tensor& local, size_t parameter) const;
  std::vector<SlotSpec> specs_;
  std::vector<std::vector<at::Tensor>> slots_;          // [slot][parameter]; empty until the first step
  std::vector<std::vector<at::Tensor>> logical_slots_;  // views of them
};

}  // namespace colossal::optim
