// SPDX-License-Identifier: Apache-2.0
// Multi-head and grouped-query attention on one device, with rotary embedding, padding mask and key-value cache.
//
//   DenseAttention attention(context, {.hidden = 64, .num_heads = 4, .num_kv_heads = 2, .head_dim = 16}, rotary);
//   at::Tensor y = attention.forward(x, {.cache = &cache});
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/dense/context.h"
#include "colossal/nn/dense/linear.h"
#include "colossal/nn/functional/rotary.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

// The rotary table of a model: shared by its layers, grown when a longer sequence comes.
class RotaryCache {
 public:
  RotaryCache(std::vector<double> inverse_frequencies, at::ScalarType dtype, at::Device device)
      : inverse_frequencies_(std::move(inverse_frequencies)), dtype_(dtype), device_(device) {}
  const functional::RotaryTable& table(int64_t positions);

 private:
  std::vector<double> inverse_frequencies_;
  at::ScalarType dtype_;
  at::Device device_;
  functional::RotaryTable table_;
};

// Appends keys and values [b, s, kv_heads, d] to the cache and returns all of it as views [b, length, kv_heads, d].
// ShapeError when they do not fit.
std::pair<at::Tensor, at::Tensor> append(KeyValueCache& cache, const at::Tensor& key,
                                         const at::Tensor& value);

class DenseAttention final : public AttentionLayer {
 public:
  DenseAttention(DenseContextPtr context, const AttentionOptions& options,
                 std::shared_ptr<RotaryCache> rotary);
  at::Tensor forward(const at::Tensor& x, const AttentionContext& context) override;

 private:
  struct Projected {
    at::Tensor query, key, value;  // [b, s, heads or kv_heads, head_dim]
  };
  Projected project(const at::Tensor& x) const;
  std::function<at::Tensor()> dropout_mask(const Projected& p) const;

  DenseContextPtr context_;
  AttentionOptions options_;
  std::shared_ptr<RotaryCache> rotary_;
  std::shared_ptr<DenseLinear> qkv_;    // fused_qkv
  std::shared_ptr<DenseLinear> query_;  // otherwise
  std::shared_ptr<DenseLinear> key_value_;
  std::shared_ptr<DenseLinear> out_;
};

}  // namespace colossal::nn
