// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/attention.h"

#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options) {
  return aten::attention(q, k, v, options);
}

}  // namespace colossal::nn::functional
