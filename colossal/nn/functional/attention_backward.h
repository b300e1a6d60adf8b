// SPDX-License-Identifier: Apache-2.0
// Backward of attention from the log-sum-exp of its forward, tile by tile (FlashAttention-2, arXiv 2307.08691, algorithm 2), so that
// the probabilities never exist in full. Internal to functional::attention.
//
//   auto [dq, dk, dv] = attention_backward(dy, {q, k, v, out, lse, mask, causal, scale});
//
// Heads of keys are not repeated for their group of query heads. Thread-safe: pure function.
#pragma once
#include <ATen/core/Tensor.h>

#include <array>

namespace colossal::nn::functional {

struct AttentionForward {
  at::Tensor q;     // [batch, queries, heads, d], last dimension dense
  at::Tensor k, v;  // [batch, keys, kv_heads, d], last dimension dense
  at::Tensor out;   // [batch, queries, heads, d]
  at::Tensor
      lse;  // [batch, heads, queries], fp32 (fp64 for fp64): log of the sum of e^(scale q k^T + mask) over the keys
  at::Tensor mask;  // undefined, or [batch or 1, 1, queries, keys] in the dtype of q: added to the scores
  bool causal;      // query i sees keys up to i
  double scale;
};

// Gradients of q, k and v, in their shapes, dense. dy: [batch, queries, heads, d].
std::array<at::Tensor, 3> attention_backward(const at::Tensor& dy, const AttentionForward& forward);

}  // namespace colossal::nn::functional
