// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/norm.h"

#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  return aten::layer_norm(x, weight, bias, eps);
}
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return aten::rms_norm(x, weight, eps);
}

AddNorm add_layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                       const at::Tensor& bias, double eps) {
  const at::Tensor sum = x + residual;
  return {sum, layer_norm(sum, weight, bias, eps)};
}

AddNorm add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double eps) {
  const at::Tensor sum = x + residual;
  return {sum, rms_norm(sum, weight, eps)};
}

}  // namespace colossal::nn::functional
