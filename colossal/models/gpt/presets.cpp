// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/gpt/gpt.h"

namespace colossal::models {
namespace gpt {
namespace {

Preset gpt2(const char* name, int64_t layers, int64_t hidden, int64_t heads) {
  ModelConfig c;
  c.family = "gpt2";
  c.num_layers = layers;
  c.hidden_size = hidden;
  c.num_heads = heads;
  c.vocab_size = 50257;
  c.max_positions = 1024;
  return {.name = name, .config = c};
}

}  // namespace

std::vector<Preset> presets() {
  // A few minutes on a laptop; for byte tokens (256 and 1 end-of-text), padded to a round number.
  Preset quickstart = gpt2("quickstart", 4, 256, 4);
  quickstart.config.vocab_size = 264;
  quickstart.config.max_positions = 256;
  return {quickstart,
          gpt2("gpt2", 12, 768, 12),
          gpt2("gpt2-124m", 12, 768, 12),
          gpt2("gpt2-medium", 24, 1024, 16),
          gpt2("gpt2-large", 36, 1280, 20),
          gpt2("gpt2-xl", 48, 1600, 25)};
}

ModelConfig complete(ModelConfig c) {
  if (c.ffn_size == 0) c.ffn_size = 4 * c.hidden_size;
  if (c.activation == Activation::none) c.activation = Activation::gelu_tanh;
  return c;
}

ParameterCount count(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  const int64_t block_matmul = 4 * h * inner + 2 * h * c.ffn_size;
  const int64_t block_rest = 3 * inner + h + c.ffn_size + h + 4 * h;  // biases and two norms
  const int64_t head = c.vocab_size * h;
  const int64_t tables = (c.tie_embeddings ? 0 : head) + c.max_positions * h;
  return {.total = c.num_layers * (block_matmul + block_rest) + 2 * h + head + tables,
          .matmul = c.num_layers * block_matmul + head};
}

}  // namespace gpt

Family gpt_family() {
  return {.name = "gpt2",
          .summary = "GPT-2: learned positions, layer norm, GELU",
          .foreign_type = "gpt2",
          .task = Task::causal_language,
          .rotary = false,
          .usual = {.family = "gpt2"},
          .presets = gpt::presets(),
          .complete = gpt::complete,
          .build = gpt::build,
          .count = gpt::count,
          .from_foreign = gpt::from_foreign,
          .to_foreign = gpt::to_foreign,
          .foreign_weights = gpt::foreign_weights};
}

}  // namespace colossal::models
