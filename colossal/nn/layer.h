// SPDX-License-Identifier: Apache-2.0
// Base of Colossal's layers: a torch::nn::Module that remembers the ParameterSpec of each of its parameters.
//
//   struct Scale : nn::UnaryLayer {
//     explicit Scale(...) { weight_ = add_parameter("weight", local_shape, spec, options); }
//     at::Tensor forward(const at::Tensor& x) override { return x * weight_; }
//   };
#pragma once
#include <torch/nn/module.h>

#include <map>
#include <memory>
#include <string>

#include "colossal/nn/parameter.h"

namespace colossal::nn {

class Layer : public torch::nn::Module {
 public:
  const std::map<std::string, ParameterSpec>& specs() const { return specs_; }  // by local parameter name

 protected:
  // Registers an uninitialised parameter of `local_shape` (same element count as spec.layout.local_shape()).
  at::Tensor add_parameter(const std::string& name, at::IntArrayRef local_shape, ParameterSpec spec,
                           const at::TensorOptions& options);
  // Registers a tensor that another layer owns (tied weights).
  at::Tensor tie_parameter(const std::string& name, const at::Tensor& shared, ParameterSpec spec);

 private:
  std::map<std::string, ParameterSpec> specs_;
};

// A layer of one tensor to one tensor.
class UnaryLayer : public Layer {
 public:
  virtual at::Tensor forward(const at::Tensor& x) = 0;
};

}  // namespace colossal::nn
