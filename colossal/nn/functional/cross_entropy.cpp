// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/cross_entropy.h"

#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

at::Tensor fused_linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight,
                                      const at::Tensor& labels, double num_targets) {
  return aten::fused_linear_cross_entropy(hidden, weight, labels, num_targets);
}

at::Tensor token_log_probs(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels) {
  return aten::token_log_probs(hidden, weight, labels);
}

}  // namespace colossal::nn::functional
