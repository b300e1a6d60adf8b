// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/bert/bert.h"

namespace colossal::models {
namespace bert {
namespace {

ModelConfig usual() {
  ModelConfig c;
  c.family = "bert";
  c.norm_eps = 1e-12;
  return c;
}

// The uncased English models with both heads.
Preset sized(const char* name, int64_t layers, int64_t hidden, int64_t heads) {
  ModelConfig c = usual();
  c.num_layers = layers;
  c.hidden_size = hidden;
  c.num_heads = heads;
  c.vocab_size = 30522;
  c.max_positions = 512;
  c.next_sentence = true;
  return {.name = name, .config = c};
}

}  // namespace

std::vector<Preset> presets() { return {sized("bert-base", 12, 768, 12), sized("bert-large", 24, 1024, 16)}; }

// Every head has its own keys and values, whatever the config says.
ModelConfig complete(ModelConfig c) {
  if (c.ffn_size == 0) c.ffn_size = 4 * c.hidden_size;
  if (c.activation == Activation::none) c.activation = Activation::gelu_erf;
  c.num_kv_heads = c.num_heads;
  return c;
}

ParameterCount count(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  const int64_t block_matmul = 4 * h * inner + 2 * h * c.ffn_size;
  const int64_t block_rest = 3 * inner + h + c.ffn_size + h + 4 * h;  // biases and two norms
  const int64_t words = c.vocab_size * h;
  const int64_t embedding = words + (c.max_positions + c.num_token_types) * h + 2 * h;
  const int64_t masked = h * h + 3 * h + c.vocab_size + (c.tie_embeddings ? 0 : words);
  const int64_t next_sentence = c.next_sentence ? h * h + h + 2 * h + 2 : 0;
  return {.total = c.num_layers * (block_matmul + block_rest) + embedding + masked + next_sentence,
          .matmul = c.num_layers * block_matmul + h * h + words};
}

}  // namespace bert

Family bert_family() {
  return {.name = "bert",
          .summary = "BERT: masked tokens and next sentence, post-norm, token types",
          .foreign_type = "bert",
          .task = Task::masked_language,
          .rotary = false,
          .usual = bert::usual(),
          .presets = bert::presets(),
          .complete = bert::complete,
          .build = bert::build,
          .count = bert::count,
          .from_foreign = bert::from_foreign,
          .to_foreign = bert::to_foreign,
          .foreign_weights = bert::foreign_weights};
}

}  // namespace colossal::models
