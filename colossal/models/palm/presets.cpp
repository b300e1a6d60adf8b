// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "colossal/models/palm/palm.h"

namespace colossal::models {
namespace palm {
namespace {

ModelConfig usual() {
  ModelConfig c;
  c.family = "palm";
  c.norm_eps = 1e-6;
  return c;
}

// Table 1 of the paper; sequences of 2048 tokens, a vocabulary of 256k.
Preset sized(const char* name, int64_t layers, int64_t hidden, int64_t heads) {
  ModelConfig c = usual();
  c.num_layers = layers;
  c.hidden_size = hidden;
  c.num_heads = heads;
  c.head_dim = 256;
  c.vocab_size = 256000;
  c.max_positions = 2048;
  return {.name = name, .config = c};
}

}  // namespace

std::vector<Preset> presets() {
  return {sized("palm-8b", 32, 4096, 16), sized("palm-62b", 64, 8192, 32),
          sized("palm-540b", 118, 18432, 48)};
}

ModelConfig complete(ModelConfig c) {
  if (c.num_kv_heads == 0) c.num_kv_heads = 1;
  if (c.ffn_size == 0) c.ffn_size = 4 * c.hidden_size;
  if (c.logit_scale == 0)
    c.logit_scale = 1 / std::sqrt(static_cast<double>(std::max<int64_t>(c.hidden_size, 1)));
  return c;
}

ParameterCount count(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t block_matmul = 2 * h * (c.num_heads + c.num_kv_heads) * c.head_dim + 3 * h * c.ffn_size;
  const int64_t head = c.vocab_size * h;
  return {.total = c.num_layers * (block_matmul + h) + h + head + (c.tie_embeddings ? 0 : head),
          .matmul = c.num_layers * block_matmul + head};
}

}  // namespace palm

Family palm_family() {
  return {.name = "palm",
          .summary = "PaLM: parallel attention and MLP, multi-query attention, SwiGLU, rotary positions",
          .foreign_type = "palm",
          .task = Task::causal_language,
          .rotary = true,
          .usual = palm::usual(),
          .presets = palm::presets(),
          .complete = palm::complete,
          .build = palm::build,
          .count = palm::count,
          .from_foreign = palm::from_foreign,
          .to_foreign = palm::to_foreign,
          .foreign_weights = palm::foreign_weights};
}

}  // namespace colossal::models
