// SPDX-License-Identifier: Apache-2.0
// Scaled dot-product attention through PyTorch's fused kernels.
//
//   at::Tensor y = functional::attention(q, k, v, {.causal = true});
//   // q: [batch, queries, heads, d], k, v: [batch, keys, kv_heads, d] -> [batch, queries, heads, d], dense
//
// heads must be a multiple of kv_heads: query head i reads key head i / (heads / kv_heads) (grouped-query
// attention, arXiv 2305.13245). Any strides with a dense last dimension are taken. Thread-safe: pure
// functions.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>

namespace colossal::nn::functional {

struct AttentionOptions {
  bool causal = true;  // query i sees keys up to i + (keys - queries): with a key-value cache the queries are
                       // the last positions
  at::Tensor key_mask = {};  // undefined, or bool [batch, keys]: false keys are invisible
  double scale = 0;          // 0: 1 / sqrt(d)
  // Dropout on the probabilities: returns the multipliers [batch, heads, queries, keys] (0 or 1 / (1 - p)).
  // Called once in forward and once in backward and must return the same both times. Empty: none. Forms the
  // probabilities in full.
  std::function<at::Tensor()> dropout_mask = {};
};

// Rows whose keys are all invisible give zeros (and zero gradients).
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options);

}  // namespace colossal::nn::functional
