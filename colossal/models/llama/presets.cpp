// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/llama/llama.h"

namespace colossal::models::llama {
namespace {

// Touvron et al. (arXiv 2302.13971): two thirds of 4 h, as three matrices replace two; rounded up to 64.
ModelConfig rules(ModelConfig c) {
  if (c.ffn_size == 0) c.ffn_size = (8 * c.hidden_size / 3 + 63) / 64 * 64;
  if (c.family == "qwen2") c.qkv_bias = true;
  return c;
}

Rope llama3_rope(double factor) {
  return {.theta = 500000,
          .scaling = Rope::Scaling::llama3,
          .factor = factor,
          .low_freq_factor = 1,
          .high_freq_factor = 4,
          .original_max_positions = 8192};
}

std::vector<Preset> llama_presets() {
  const ModelConfig llama1 = {.family = "llama",
                              .vocab_size = 32000,
                              .max_positions = 2048,
                              .norm_eps = 1e-6,
                              .tie_embeddings = false};
  const ModelConfig tiny = {
      .family = "llama", .vocab_size = 32000, .max_positions = 2048, .tie_embeddings = false};
  const ModelConfig llama2 = {
      .family = "llama", .vocab_size = 32000, .max_positions = 4096, .tie_embeddings = false};
  const ModelConfig llama3 = {.family = "llama",
                              .vocab_size = 128256,
                              .max_positions = 8192,
                              .rope = {.theta = 500000},
                              .tie_embeddings = false};
  const ModelConfig llama31 = {.family = "llama",
                               .vocab_size = 128256,
                               .max_positions = 131072,
                               .rope = llama3_rope(8),
                               .tie_embeddings = false};
  const ModelConfig llama32 = {
      .family = "llama", .vocab_size = 128256, .max_positions = 131072, .rope = llama3_rope(32)};
  return presets(
      {{tiny, {{"tinyllama-1.1b", 22, 2048, 32, 4, 5632}}},
       {llama1, {{"llama-7b", 32, 4096, 32, 32, 11008}, {"llama-13b", 40, 5120, 40, 40, 13824}}},
       {llama2,
        {{"llama2-7b", 32, 4096, 32, 32, 11008},
         {"llama2-13b", 40, 5120, 40, 40, 13824},
         {"llama2-70b", 80, 8192, 64, 8, 28672}}},
       {llama3, {{"llama3-8b", 32, 4096, 32, 8, 14336}, {"llama3-70b", 80, 8192, 64, 8, 28672}}},
       {llama31, {{"llama3.1-8b", 32, 4096, 32, 8, 14336}, {"llama3.1-70b", 80, 8192, 64, 8, 28672}}},
       {llama32, {{"llama3.2-1b", 16, 2048, 32, 8, 8192}, {"llama3.2-3b", 28, 3072, 24, 8, 8192}}}});
}

ModelConfig qwen2(int64_t vocab_size, bool tied) {
  return {.family = "qwen2",
          .vocab_size = vocab_size,
          .max_positions = 32768,
          .norm_eps = 1e-6,
          .rope = {.theta = 1e6},
          .qkv_bias = true,
          .tie_embeddings = tied};
}

}  // namespace

Family family() {
  return {.name = "llama",
          .summary = "Llama 1, 2, 3: rotary positions, RMS norm, SwiGLU, grouped-query attention",
          .rotary = true,
          .usual = {.family = "llama", .tie_embeddings = false},
          .presets = llama_presets(),
          .rules = rules,
          .build = build,
          .foreign = foreign()};
}

Family qwen2_family() {
  ModelConfig usual = qwen2(0, false);
  usual.max_positions = ModelConfig().max_positions;
  return {.name = "qwen2",
          .summary = "Qwen2: Llama with query, key and value biases",
          .rotary = true,
          .usual = usual,
          .presets = presets({{qwen2(151936, true),
                               {{"qwen2-0.5b", 24, 896, 14, 2, 4864}, {"qwen2-1.5b", 28, 1536, 12, 2, 8960}}},
                              {qwen2(152064, false), {{"qwen2-7b", 28, 3584, 28, 4, 18944}}}}),
          .rules = rules,
          .build = build,
          .foreign = foreign()};
}

}  // namespace colossal::models::llama
