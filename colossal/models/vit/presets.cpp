// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/vit/vit.h"

namespace colossal::models {
namespace vit {
namespace {

ModelConfig usual() {
  ModelConfig c;
  c.family = "vit";
  c.norm_eps = 1e-12;
  return c;
}

// For ImageNet-1k: images of 224 x 224, 1000 classes.
Preset sized(const char* name, int64_t layers, int64_t hidden, int64_t heads, int64_t patch) {
  ModelConfig c = usual();
  c.num_layers = layers;
  c.hidden_size = hidden;
  c.num_heads = heads;
  c.image.patch = patch;
  return {.name = name, .config = c};
}

}  // namespace

// Tiny and small: Touvron et al., arXiv 2012.12877; the others: table 1 of the paper.
std::vector<Preset> presets() {
  return {sized("vit-tiny-16", 12, 192, 3, 16), sized("vit-small-16", 12, 384, 6, 16),
          sized("vit-base-16", 12, 768, 12, 16), sized("vit-large-16", 24, 1024, 16, 16),
          sized("vit-huge-14", 32, 1280, 16, 14)};
}

// Every head has its own keys and values, and there is a position for each patch and the class token, whatever the config says.
ModelConfig complete(ModelConfig c) {
  if (c.ffn_size == 0) c.ffn_size = 4 * c.hidden_size;
  if (c.activation == Activation::none) c.activation = Activation::gelu_erf;
  c.num_kv_heads = c.num_heads;
  const int64_t side = c.image.patch < 1 ? 0 : c.image.size / c.image.patch;
  c.max_positions = side * side + 1;
  return c;
}

ParameterCount count(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  const int64_t block_matmul = 4 * h * inner + 2 * h * c.ffn_size;
  const int64_t block_rest = 3 * inner + h + c.ffn_size + h + 4 * h;  // biases and two norms
  const int64_t patches = h * c.image.channels * c.image.patch * c.image.patch;
  const int64_t embedding = patches + h + h + c.max_positions * h;  // its bias, the class token, positions
  const int64_t head = c.image.num_classes * (h + 1);
  return {.total = c.num_layers * (block_matmul + block_rest) + 2 * h + embedding + head,
          .matmul = c.num_layers * block_matmul + patches};
}

}  // namespace vit

Family vit_family() {
  return {.name = "vit",
          .summary = "ViT: images as sequences of patches, class token, classifier",
          .foreign_type = "vit",
          .task = Task::image_classification,
          .rotary = false,
          .usual = vit::usual(),
          .presets = vit::presets(),
          .complete = vit::complete,
          .build = vit::build,
          .count = vit::count,
          .from_foreign = vit::from_foreign,
          .to_foreign = vit::to_foreign,
          .foreign_weights = vit::foreign_weights};
}

}  // namespace colossal::models
