// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/linear.h"

#include "colossal/base/error.h"
#include "colossal/nn/functional/linear.h"

namespace colossal::nn {
namespace {

tensor::Shape weight_shape(const LinearOptions& o) {
  if (o.in < 1 || o.out < 1 || o.fused < 1 || o.out % o.fused != 0) {
    throw ShapeError(fmt::format(
        "linear: in = {}, out = {}, fused = {}. Allowed: sizes of at least 1, fused a divisor of out.", o.in,
        o.out, o.fused));
  }
  return o.fused == 1 ? tensor::Shape{o.out, o.in} : tensor::Shape{o.fused, o.out / o.fused, o.in};
}

std::optional<tensor::Shape> bias_shape(const LinearOptions& o) {
  if (!o.bias) return std::nullopt;
  return o.fused == 1 ? tensor::Shape{o.out} : tensor::Shape{o.fused, o.out / o.fused};
}

}  // namespace

DenseLinear::DenseLinear(const DenseContextPtr& context, const LinearOptions& options)
    : DenseLinear(context, weight_shape(options), options.in, bias_shape(options), options.init_std,
                  options.activation) {}

DenseLinear::DenseLinear(const DenseContextPtr& context, const tensor::Shape& weight, int64_t in,
                         const std::optional<tensor::Shape>& bias, double init_std,
                         functional::Activation activation)
    : activation_(activation) {
  const int64_t out = c10::multiply_integers(weight) / in;
  weight_ = add_parameter("weight", {out, in}, context->replicated(weight, Init::normal(init_std), true),
                          context->parameter_options());
  if (bias) {
    bias_ = add_parameter("bias", {out}, context->replicated(*bias, Init::zeros(), false),
                          context->parameter_options());
  }
}

at::Tensor DenseLinear::forward(const at::Tensor& x) {
  return functional::activated_linear(x, activation_, weight_, bias_);
}

}  // namespace colossal::nn
