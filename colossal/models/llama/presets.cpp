// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/llama/llama.h"

namespace colossal::models {
namespace llama {
namespace {

ModelConfig usual(const char* family) {
  ModelConfig c;
  c.family = family;
  c.tie_embeddings = false;
  return c;
}

ModelConfig usual_qwen2() {
  ModelConfig c = usual("qwen2");
  c.norm_eps = 1e-6;
  c.rope.theta = 1e6;
  c.qkv_bias = true;
  return c;
}

struct Size {
  int64_t layers, hidden, heads, kv_heads, ffn;
};

ModelConfig sized(const char* family, const Size& size, int64_t vocab, int64_t positions, double theta) {
  ModelConfig c = usual(family);
  c.num_layers = size.layers;
  c.hidden_size = size.hidden;
  c.num_heads = size.heads;
  c.num_kv_heads = size.kv_heads;
  c.ffn_size = size.ffn;
  c.vocab_size = vocab;
  c.max_positions = positions;
  c.rope.theta = theta;
  return c;
}

ModelConfig with_llama3_rope(ModelConfig c, double factor) {
  c.rope.scaling = Rope::Scaling::llama3;
  c.rope.factor = factor;
  c.rope.low_freq_factor = 1;
  c.rope.high_freq_factor = 4;
  c.rope.original_max_positions = 8192;
  return c;
}

ModelConfig qwen2(const Size& size, int64_t vocab, bool tied) {
  ModelConfig c = sized("qwen2", size, vocab, 32768, 1e6);
  c.norm_eps = 1e-6;
  c.qkv_bias = true;
  c.tie_embeddings = tied;
  return c;
}

}  // namespace

std::vector<Preset> llama_presets() {
  ModelConfig llama1 = sized("llama", {32, 4096, 32, 32, 11008}, 32000, 2048, 10000);
  llama1.norm_eps = 1e-6;
  ModelConfig llama32 = with_llama3_rope(sized("llama", {16, 2048, 32, 8, 8192}, 128256, 131072, 500000), 32);
  llama32.tie_embeddings = true;
  ModelConfig llama1_13b = sized("llama", {40, 5120, 40, 40, 13824}, 32000, 2048, 10000);
  llama1_13b.norm_eps = 1e-6;
  ModelConfig llama32_3b =
      with_llama3_rope(sized("llama", {28, 3072, 24, 8, 8192}, 128256, 131072, 500000), 32);
  llama32_3b.tie_embeddings = true;
  return {
      {"tinyllama-1.1b", sized("llama", {22, 2048, 32, 4, 5632}, 32000, 2048, 10000)},
      {"llama-7b", llama1},
      {"llama-13b", llama1_13b},
      {"llama2-7b", sized("llama", {32, 4096, 32, 32, 11008}, 32000, 4096, 10000)},
      {"llama2-13b", sized("llama", {40, 5120, 40, 40, 13824}, 32000, 4096, 10000)},
      {"llama2-70b", sized("llama", {80, 8192, 64, 8, 28672}, 32000, 4096, 10000)},
      {"llama3-8b", sized("llama", {32, 4096, 32, 8, 14336}, 128256, 8192, 500000)},
      {"llama3-70b", sized("llama", {80, 8192, 64, 8, 28672}, 128256, 8192, 500000)},
      {"llama3.1-8b", with_llama3_rope(sized("llama", {32, 4096, 32, 8, 14336}, 128256, 131072, 500000), 8)},
      {"llama3.1-70b", with_llama3_rope(sized("llama", {80, 8192, 64, 8, 28672}, 128256, 131072, 500000), 8)},
      {"llama3.2-1b", llama32},
      {"llama3.2-3b", llama32_3b}};
}

std::vector<Preset> qwen2_presets() {
  return {{"qwen2-0.5b", qwen2({24, 896, 14, 2, 4864}, 151936, true)},
          {"qwen2-1.5b", qwen2({28, 1536, 12, 2, 8960}, 151936, true)},
          {"qwen2-7b", qwen2({28, 3584, 28, 4, 18944}, 152064, false)}};
}

// Touvron et al. (arXiv 2302.13971): two thirds of 4 h, as three matrices replace two; rounded up to 64.
ModelConfig complete(ModelConfig c) {
  if (c.ffn_size == 0) c.ffn_size = (8 * c.hidden_size / 3 + 63) / 64 * 64;
  if (c.family == "qwen2") c.qkv_bias = true;
  return c;
}

ParameterCount count(const ModelConfig& c) {
  const int64_t h = c.hidden_size;
  const int64_t inner = c.num_heads * c.head_dim;
  const int64_t kv = c.num_kv_heads * c.head_dim;
  const int64_t block_matmul = 2 * h * inner + 2 * h * kv + 3 * h * c.ffn_size;
  const int64_t block_rest = (c.qkv_bias ? inner + 2 * kv : 0) + 2 * h;
  const int64_t head = c.vocab_size * h;
  return {.total = c.num_layers * (block_matmul + block_rest) + h + head + (c.tie_embeddings ? 0 : head),
          .matmul = c.num_layers * block_matmul + head};
}

}  // namespace llama

Family llama_family() {
  return {.name = "llama",
          .summary = "Llama 1, 2, 3: rotary positions, RMS norm, SwiGLU, grouped-query attention",
          .foreign_type = "llama",
          .task = Task::causal_language,
          .rotary = true,
          .usual = llama::usual("llama"),
          .presets = llama::llama_presets(),
          .complete = llama::complete,
          .build = llama::build,
          .count = llama::count,
          .from_foreign = llama::llama_from_foreign,
          .to_foreign = llama::to_foreign,
          .foreign_weights = llama::foreign_weights};
}

Family qwen2_family() {
  return {.name = "qwen2",
          .summary = "Qwen2: Llama with query, key and value biases",
          .foreign_type = "qwen2",
          .task = Task::causal_language,
          .rotary = true,
          .usual = llama::usual_qwen2(),
          .presets = llama::qwen2_presets(),
          .complete = llama::complete,
          .build = llama::build,
          .count = llama::count,
          .from_foreign = llama::qwen2_from_foreign,
          .to_foreign = llama::to_foreign,
          .foreign_weights = llama::foreign_weights};
}

}  // namespace colossal::models
