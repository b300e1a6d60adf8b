// SPDX-License-Identifier: Apache-2.0
// Multi-head and grouped-query attention, with rotary embedding, padding mask and key-value cache. Each rank attends with its
// share of the heads on its share of the batch; what is sharded lies in the projections.
//
//   Attention attention(make, context, {.hidden = 64, .num_heads = 4, .num_kv_heads = 2, .head_dim = 16}, rotary);
//   at::Tensor y = attention.forward(x, {.cache = &cache});
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
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

class Attention final : public AttentionLayer {
 public:
  // ShapeError where heads do not divide by the ranks that share them. Key-value heads that do not are projected in pieces of
  // every head and gathered.
  Attention(LayerFactory& make, LayerContextPtr context, const AttentionOptions& options,
            std::shared_ptr<RotaryCache> rotary);
  at::Tensor forward(const at::Tensor& x, const AttentionContext& context) override;

 private:
  struct Projected {
    at::Tensor query, key, value;  // [b, s, local heads or kv heads, head_dim]
  };
  Projected project(const at::Tensor& x) const;
  std::pair<at::Tensor, at::Tensor> gathered_heads(const at::Tensor& pieces) const;
  at::Tensor local_mask(const at::Tensor& mask, int64_t rows) const;
  std::function<at::Tensor()> dropout_mask(const Projected& p) const;

  LayerContextPtr context_;
  AttentionOptions options_;
  comm::Group group_;    // shares the heads
  int64_t num_heads_;    // of this rank
  bool whole_kv_heads_;  // kv heads divide by the group
  std::shared_ptr<RotaryCache> rotary_;
  LinearGroup projections_;  // fused_qkv: to all three, otherwise to queries, and to keys and values
  std::shared_ptr<UnaryLayer> out_;
};

}  // namespace colossal::nn
