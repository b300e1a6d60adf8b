// SPDX-License-Identifier: Apache-2.0
// Models are written in these words, as for one device. One factory per tensor mode decides what each rank holds.
//
//   auto up = make.linear({.in = h, .out = 4 * h, .role = Role::expand, .name = "up"});
//   at::Tensor y = up->forward(x);                       // x: [batch, sequence, h]
//
// Shapes in the comments are logical. Thread safety: one rank, one thread.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "colossal/nn/layer.h"
#include "colossal/nn/step_state.h"

namespace colossal::nn {

// Linears come in pairs: the first expands from the residual stream, the second contracts back to it.
enum class Role { expand, contract };

struct LinearOptions {
  int64_t in = 0;
  int64_t out = 0;
  bool bias = true;
  Role role = Role::expand;
  int64_t fused = 1;        // independent projections of the same input fused into one weight [fused, out / fused, in] (gate and up: 2)
  double init_std = 0.02;
};

struct NormOptions {
  enum class Kind { layer, rms } kind = Kind::layer;
  int64_t size = 0;
  double eps = 1e-5;
  bool bias = true;         // layer norm only
};

struct EmbeddingOptions {
  int64_t num_embeddings = 0;   // padded inside where a mode needs it
  int64_t size = 0;
  double init_std = 0.02;
};

// Inverse frequencies of rotary embedding (head_dim / 2 values, fp64), scaling already applied.
struct RotaryOptions {
  std::vector<double> inverse_frequencies;
};

struct AttentionOptions {
  int64_t hidden = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  bool qkv_bias = true;
  bool out_bias = true;
  bool causal = true;
  bool fused_qkv = false;       // one weight [3, heads, head_dim, hidden] (needs num_kv_heads == num_heads), else query and key_value
  double dropout = 0;           // on the attention probabilities
  std::optional<RotaryOptions> rotary;
  double init_std = 0.02;
  double out_init_std = 0.02;
};

// Keys and values of one attention layer, for generation. Local heads only.
struct KeyValueCache {
  at::Tensor key;               // [batch, kv_heads, capacity, head_dim]
  at::Tensor value;
  int64_t length = 0;           // filled so far
};

// What a pass needs besides the hidden states.
struct AttentionContext {
  at::Tensor key_mask;          // undefined, or bool [batch, keys]: false keys are invisible (padding)
  KeyValueCache* cache = nullptr;  // generation: append the new keys, attend to all
};

class AttentionLayer : public Layer {
 public:
  // x: [batch, sequence, hidden] -> same; projections, rotation, attention, output projection.
  virtual at::Tensor forward(const at::Tensor& x, const AttentionContext& context) = 0;
};

struct HeadOptions {
  int64_t hidden = 0;
  int64_t vocab_size = 0;
  double init_std = 0.02;
  std::shared_ptr<UnaryLayer> tied_embedding;  // share its weight; null: own weight
};

// Language-model head: logits, or the loss without ever forming them all.
class HeadLayer : public Layer {
 public:
  virtual at::Tensor logits(const at::Tensor& x) = 0;  // [b, s, hidden] -> [b, s, vocab], gathered, padding removed
  // sum over targets of -log p(label) / num_targets, 0-d. labels: [b, s] int64, -100 = ignored. num_targets: over the global batch.
  virtual at::Tensor loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) = 0;
};

class LayerFactory {
 public:
  virtual ~LayerFactory() = default;

  virtual std::shared_ptr<UnaryLayer> linear(const LinearOptions& options) = 0;
  virtual std::shared_ptr<UnaryLayer> norm(const NormOptions& options) = 0;
  virtual std::shared_ptr<UnaryLayer> embedding(const EmbeddingOptions& options) = 0;           // ids [b, s] -> [b, s, size]
  virtual std::shared_ptr<UnaryLayer> learned_positions(const EmbeddingOptions& options) = 0;   // x -> x + table[offset + position]
  virtual std::shared_ptr<AttentionLayer> attention(const AttentionOptions& options) = 0;
  virtual std::shared_ptr<HeadLayer> head(const HeadOptions& options) = 0;
  // Dropout on the residual stream; `site` must be unique in the model ("blocks.3.mlp").
  virtual std::shared_ptr<UnaryLayer> dropout(double p, const std::string& site) = 0;

  virtual const comm::Mesh& mesh() const = 0;
  virtual StepState& state() = 0;
};

}  // namespace colossal::nn
