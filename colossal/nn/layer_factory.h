// SPDX-License-Identifier: Apache-2.0
// Models are written in these words, as for one device. The factory decides what each rank holds.
//
//   auto up = make.linear({.in = h, .out = 4 * h, .role = Role::expand});
//   at::Tensor y = up->forward(x);                       // x: [batch, sequence, h]
//
// Shapes in the comments are logical; what a layer returns is this rank's part of it. Elementwise functions (activations, the residual
// sum) may be applied to parts. Thread safety: one rank, one thread.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "colossal/nn/functional/activation.h"
#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/layer.h"
#include "colossal/nn/step_state.h"
#include "colossal/tensor/layout.h"

namespace colossal::nn {

// Linears come in pairs: the first expands from the residual stream, the second contracts back to it. keep: one that stands alone, from
// the residual stream to the residual stream.
enum class Role { expand, contract, keep };

struct LinearOptions {
  int64_t in = 0;
  // Usually one dim. Several: independent projections of the same input in one product. The weight is logically [out.., in], a
  // rank's output is its part of `out`, flattened: gate and up are {2, f} with split = 1 (see functional::swiglu).
  tensor::Shape out = {};
  int64_t split = 0;  // the dim of `out` that a tensor mode shards. Role::contract: out has one dim
  bool bias = true;
  Role role = Role::expand;
  // Of the input, before the product; computed once more in backward instead of kept. swiglu takes [.., 2 in].
  functional::Activation activation = functional::Activation::none;
  double init_std = 0.02;
};

// Linears of one input, registered by their owner under names of their own and applied together: what ranks tell each other of x and of its
// gradient is told once.
struct LinearGroup {
  std::vector<std::shared_ptr<UnaryLayer>> layers = {};
  std::function<std::vector<at::Tensor>(const at::Tensor& x)> forward = {};  // of each layer
};

// ShapeError for sizes below 1, a split that is no dim of `out`, a contraction to several dims.
void check(const LinearOptions& options);
tensor::Shape weight_shape(const LinearOptions& options);  // [out.., in]
// ShapeError where linears of a group differ in input, role or activation.
void check(const std::vector<LinearOptions>& group);

struct NormOptions {
  enum class Kind { layer, rms } kind = Kind::layer;
  int64_t size = 0;
  double eps = 1e-5;
  bool bias = true;  // layer norm only
};

struct EmbeddingOptions {
  int64_t num_embeddings = 0;  // padded inside where a mode needs it
  int64_t size = 0;
  double init_std = 0.02;
};

// Square images, cut into square patches from left to right and top to bottom. Weights, logically: [size, channels, patch, patch], a
// bias [size], and a class token [size].
struct PatchEmbeddingOptions {
  int64_t image_size = 0;  // pixels, a multiple of patch_size
  int64_t patch_size = 0;
  int64_t channels = 3;
  int64_t size = 0;
  double init_std = 0.02;
};

// Inverse frequencies of rotary embedding (head_dim / 2 values, fp64), scaling already applied.
struct RotaryOptions {
  std::vector<double> inverse_frequencies = {};
};

// Weights, logically: qkv [3, heads, head_dim, hidden] (fused_qkv) or query [heads, head_dim, hidden] and
// key_value [2, kv_heads, head_dim, hidden]; out [hidden, heads * head_dim]. Biases without the last dim.
struct AttentionOptions {
  int64_t hidden = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  bool qkv_bias = true;
  bool out_bias = true;
  bool causal = true;
  bool fused_qkv = false;  // needs num_kv_heads == num_heads
  double dropout = 0;      // on the attention probabilities
  std::string site = {};   // unique in the model ("blocks.3.attention"): key of that dropout
  std::optional<RotaryOptions> rotary = {};
  double init_std = 0.02;
  double out_init_std = 0.02;
};

// Keys and values of one attention layer, for generation. Local heads only; allocated by the layer at first use.
struct KeyValueCache {
  int64_t capacity = 0;  // positions
  int64_t length = 0;    // filled so far
  at::Tensor key = {};   // [batch, kv_heads, capacity, head_dim]
  at::Tensor value = {};
};

// What a pass needs besides the hidden states.
struct AttentionContext {
  at::Tensor key_mask = {};  // undefined, or bool [batch, keys]: false keys are invisible (padding)
  KeyValueCache* cache =
      nullptr;  // generation: x starts at position cache->length; its keys are appended, all are attended to
};

// The norm, also fused with the residual sum before it.
class NormLayer : public UnaryLayer {
 public:
  struct Added {
    at::Tensor sum;     // x + residual
    at::Tensor normed;  // norm of it
  };
  virtual Added add(const at::Tensor& x, const at::Tensor& residual) = 0;
};

// x: [batch, sequence, size] whose first position is number `offset` -> x + table[offset ..].
class PositionLayer : public Layer {
 public:
  virtual at::Tensor forward(const at::Tensor& x, int64_t offset) = 0;
};

// x: [batch, sequence, size] -> x + table[types]. types: int64 [batch, sequence]; undefined: all 0.
class TokenTypeLayer : public Layer {
 public:
  virtual at::Tensor forward(const at::Tensor& x, const at::Tensor& types) = 0;
};

class AttentionLayer : public Layer {
 public:
  // x: [batch, sequence, hidden] -> same; projections, rotation, attention, output projection.
  virtual at::Tensor forward(const at::Tensor& x, const AttentionContext& context) = 0;
};

struct HeadOptions {
  int64_t hidden = 0;
  int64_t vocab_size = 0;
  bool bias = false;  // one number per word
  double init_std = 0.02;
  std::shared_ptr<UnaryLayer> tied_embedding = {};  // share its weight; null: own weight
};

struct ClassifierOptions {
  int64_t hidden = 0;
  int64_t num_classes = 0;
  bool pooled = false;  // before it a linear [hidden, hidden] and tanh of the token (the pooler of BERT)
  double init_std = 0.02;
};

// Language-model head: logits, or the loss without ever forming them all. Labels are aligned: labels[b, t] is the target of x[b, t]
// (a causal model's next token); int64, -100 = no target.
// Classifier: the same of the first token of each sequence: labels [b], logits [b, num_classes].
class HeadLayer : public Layer {
 public:
  // [b, s, hidden] -> [b, s, vocab], in the dtype of x, gathered on all ranks of a data-parallel replica, padding removed.
  virtual at::Tensor logits(const at::Tensor& x) = 0;
  // The same for the last token of each row alone: [b, vocab]. For generation.
  virtual at::Tensor last_logits(const at::Tensor& x) = 0;
  // sum over targets of -log p(label) / num_targets, 0-d, fp32 or wider. num_targets: over the global batch, so that the losses (and
  // gradients) of data-parallel ranks and microbatches add up.
  virtual at::Tensor loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) = 0;
  // Per token: log p(label), and 1 where no class has a larger logit than the label; 0 where there is no target: [b, s]. No gradient.
  virtual functional::TokenScores scores(const at::Tensor& x, const at::Tensor& labels) = 0;
};

// The tokens that are targets, and as few others as the tensor mode allows. For heads after which most tokens would be ignored.
class TargetsLayer : public Layer {
 public:
  struct Targets {
    at::Tensor x;       // [b', s', hidden]
    at::Tensor labels;  // [b', s']
  };
  // x: [b, s, hidden]; labels: int64 [b, s], of the whole data-parallel replica.
  virtual Targets forward(const at::Tensor& x, const at::Tensor& labels) = 0;
};

class LayerFactory {
 public:
  virtual ~LayerFactory() = default;

  virtual std::shared_ptr<UnaryLayer> linear(const LinearOptions& options) = 0;
  virtual LinearGroup linears(
      const std::vector<LinearOptions>& options) = 0;  // they differ in `out`, `split`, `bias`, `init_std`
  virtual std::shared_ptr<NormLayer> norm(const NormOptions& options) = 0;
  virtual std::shared_ptr<UnaryLayer> embedding(
      const EmbeddingOptions& options) = 0;  // int64 ids [b, s] -> [b, s, size]
  virtual std::shared_ptr<PositionLayer> learned_positions(const EmbeddingOptions& options) = 0;
  // num_embeddings: how many types there are, a handful.
  virtual std::shared_ptr<TokenTypeLayer> token_types(const EmbeddingOptions& options) = 0;
  // pixels [b, channels, image_size, image_size], any floating dtype -> [b, 1 + patches, size], the class token first.
  virtual std::shared_ptr<UnaryLayer> patch_embedding(const PatchEmbeddingOptions& options) = 0;
  virtual std::shared_ptr<AttentionLayer> attention(const AttentionOptions& options) = 0;
  virtual std::shared_ptr<HeadLayer> head(const HeadOptions& options) = 0;
  virtual std::shared_ptr<HeadLayer> classifier(const ClassifierOptions& options) = 0;
  virtual std::shared_ptr<TargetsLayer> targets() = 0;
  // Dropout on the residual stream; `site` must be unique in the model ("blocks.3.mlp"). p = 0: the identity.
  virtual std::shared_ptr<UnaryLayer> dropout(double p, const std::string& site) = 0;

  virtual const comm::Mesh& mesh() const = 0;
  virtual std::shared_ptr<StepState> state() const = 0;  // shared with every layer made here
};

}  // namespace colossal::nn
