// SPDX-License-Identifier: Apache-2.0
// Published model sizes, and the sizes that a Hugging Face config.json states, without touching any weight.
//
//   const ModelPreset* preset = find_preset("llama3-8b");     // preset->shape.hidden_size == 4096
//
// Thread-safe: pure functions over constants.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "colossal/train/config.h"

namespace colossal::train {

// What [model] leaves open is filled from one of these; 0 and nullopt: not stated.
struct ModelShape {
  int64_t num_layers = 0, hidden_size = 0, num_heads = 0, num_kv_heads = 0, ffn_size = 0, vocab_size = 0,
          max_positions = 0;
  std::optional<double> norm_eps, rope_theta;
  std::optional<bool> tie_embeddings;
  std::optional<RopeScaling> rope_scaling;
};

struct ModelPreset {
  std::string_view name, family;
  ModelShape shape;
};

std::span<const ModelPreset> model_presets();
const ModelPreset* find_preset(std::string_view name);  // null: unknown

// "gpt2: gpt2, gpt2-medium, ...; llama: ..." for the help.
std::string preset_help();

// Family (empty: not one of ours) and sizes of a Hugging Face folder; nullopt when config.json cannot be
// parsed.
struct LoadedShape {
  std::string family, model_type;
  ModelShape shape;
};
std::optional<LoadedShape> read_shape(const std::filesystem::path& config_json);

}  // namespace colossal::train
