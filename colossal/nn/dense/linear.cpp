// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/linear.h"

#include "colossal/nn/functional/linear.h"

namespace colossal::nn {

DenseLinear::DenseLinear(const LayerContextPtr& context, const LinearOptions& options)
    : activation_(options.activation) {
  check(options);
  const int64_t out = c10::multiply_integers(options.out);
  weight_ = add_parameter("weight", {out, options.in},
                          context->replicated(weight_shape(options), Init::normal(options.init_std), true),
                          context->parameter_options());
  if (options.bias) {
    bias_ = add_parameter("bias", {out}, context->replicated(options.out, Init::zeros(), false),
                          context->parameter_options());
  }
}

at::Tensor DenseLinear::forward(const at::Tensor& x) {
  return functional::activated_linear(x, activation_, weight_, bias_);
}

}  // namespace colossal::nn
