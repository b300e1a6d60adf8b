// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/norm.h"

#include "colossal/nn/functional/norm.h"

namespace colossal::nn {

DenseNorm::DenseNorm(const DenseContextPtr& context, const NormOptions& options) : options_(options) {
  const int64_t size = options.size;
  const at::TensorOptions dtype = context->parameter_options();
  weight_ = add_parameter("weight", {size}, context->replicated({size}, Init::ones(), false), dtype);
  if (options.kind == NormOptions::Kind::layer && options.bias) {
    bias_ = add_parameter("bias", {size}, context->replicated({size}, Init::zeros(), false), dtype);
  }
}

at::Tensor DenseNorm::forward(const at::Tensor& x) {
  return options_.kind == NormOptions::Kind::rms ? functional::rms_norm(x, weight_, options_.eps)
                                                 : functional::layer_norm(x, weight_, bias_, options_.eps);
}

NormLayer::Added DenseNorm::add(const at::Tensor& x, const at::Tensor& residual) {
  auto [sum, normed] = options_.kind == NormOptions::Kind::rms
                           ? functional::add_rms_norm(x, residual, weight_, options_.eps)
                           : functional::add_layer_norm(x, residual, weight_, bias_, options_.eps);
  return {sum, normed};
}

}  // namespace colossal::nn
