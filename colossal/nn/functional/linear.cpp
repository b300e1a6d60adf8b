// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/linear.h"

#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return aten::linear(x, weight, bias);
}

}  // namespace colossal::nn::functional
