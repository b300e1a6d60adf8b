// SPDX-License-Identifier: Apache-2.0
// Sizes as in the config.json files that were published with these models.
#include "colossal/train/config/model_shape.h"

#include <fmt/format.h>

#include <array>

#include "colossal/base/file.h"
#include "colossal/base/json.h"

namespace colossal::train {
namespace {

ModelShape gpt2(int64_t layers, int64_t hidden, int64_t heads) {
  return {layers, hidden, heads, heads, 4 * hidden, 50257, 1024, 1e-5, std::nullopt, true, std::nullopt};
}

// Llama 1 and 2.
ModelShape llama(int64_t layers, int64_t hidden, int64_t heads, int64_t kv_heads, int64_t ffn,
                 int64_t positions, double eps) {
  return {layers, hidden, heads, kv_heads, ffn, 32000, positions, eps, 10000.0, false, std::nullopt};
}

// Llama 3 to 3.2; a stretch of 0 means none.
ModelShape llama3(int64_t layers, int64_t hidden, int64_t heads, int64_t ffn, double stretch, bool tied) {
  ModelShape shape{layers, hidden, heads, 8, ffn, 128256, 8192, 1e-5, 500000.0, tied, std::nullopt};
  if (stretch > 0) {
    shape.max_positions = 131072;
    shape.rope_scaling = RopeScaling{.factor = stretch};
  }
  return shape;
}

ModelShape qwen2(int64_t layers, int64_t hidden, int64_t heads, int64_t kv_heads, int64_t ffn,
                 int64_t vocabulary, bool tied) {
  return {layers, hidden, heads, kv_heads, ffn, vocabulary, 32768, 1e-6, 1e6, tied, std::nullopt};
}

int64_t integer(const Json& json, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (json.contains(name) && json[name].is_number_integer()) return json[name].get<int64_t>();
  }
  return 0;
}

}  // namespace

std::span<const ModelPreset> model_presets() {
  static const std::array kPresets = {
      ModelPreset{"gpt2", "gpt2", gpt2(12, 768, 12)},
      ModelPreset{"gpt2-medium", "gpt2", gpt2(24, 1024, 16)},
      ModelPreset{"gpt2-large", "gpt2", gpt2(36, 1280, 20)},
      ModelPreset{"gpt2-xl", "gpt2", gpt2(48, 1600, 25)},
      ModelPreset{"tinyllama-1.1b", "llama", llama(22, 2048, 32, 4, 5632, 2048, 1e-5)},
      ModelPreset{"llama-7b", "llama", llama(32, 4096, 32, 32, 11008, 2048, 1e-6)},
      ModelPreset{"llama-13b", "llama", llama(40, 5120, 40, 40, 13824, 2048, 1e-6)},
      ModelPreset{"llama2-7b", "llama", llama(32, 4096, 32, 32, 11008, 4096, 1e-5)},
      ModelPreset{"llama2-13b", "llama", llama(40, 5120, 40, 40, 13824, 4096, 1e-5)},
      ModelPreset{"llama2-70b", "llama", llama(80, 8192, 64, 8, 28672, 4096, 1e-5)},
      ModelPreset{"llama3-8b", "llama", llama3(32, 4096, 32, 14336, 0, false)},
      ModelPreset{"llama3-70b", "llama", llama3(80, 8192, 64, 28672, 0, false)},
      ModelPreset{"llama3.1-8b", "llama", llama3(32, 4096, 32, 14336, 8, false)},
      ModelPreset{"llama3.1-70b", "llama", llama3(80, 8192, 64, 28672, 8, false)},
      ModelPreset{"llama3.2-1b", "llama", llama3(16, 2048, 32, 8192, 32, true)},
      ModelPreset{"llama3.2-3b", "llama", llama3(28, 3072, 24, 8192, 32, true)},
      ModelPreset{"qwen2-0.5b", "qwen2", qwen2(24, 896, 14, 2, 4864, 151936, true)},
      ModelPreset{"qwen2-1.5b", "qwen2", qwen2(28, 1536, 12, 2, 8960, 151936, true)},
      ModelPreset{"qwen2-7b", "qwen2", qwen2(28, 3584, 28, 4, 18944, 152064, false)},
  };
  return kPresets;
}

const ModelPreset* find_preset(std::string_view name) {
  for (const ModelPreset& preset : model_presets()) {
    if (preset.name == name) return &preset;
  }
  return nullptr;
}

std::string preset_help() {
  std::string text;
  std::string_view family;
  for (const ModelPreset& preset : model_presets()) {
    text += preset.family == family ? ", " : fmt::format("{}{}: ", text.empty() ? "" : "; ", preset.family);
    text += preset.name;
    family = preset.family;
  }
  return text + ".";
}

std::optional<LoadedShape> read_shape(const std::filesystem::path& config_json) {
  const Json json = Json::parse(read_file(config_json), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return std::nullopt;
  LoadedShape result;
  if (json.contains("model_type") && json["model_type"].is_string()) result.model_type = json["model_type"];
  for (const char* family : {"gpt2", "llama", "qwen2"}) {
    if (result.model_type == family) result.family = family;
  }
  ModelShape& shape = result.shape;
  shape.num_layers = integer(json, {"num_hidden_layers", "n_layer"});
  shape.hidden_size = integer(json, {"hidden_size", "n_embd"});
  shape.num_heads = integer(json, {"num_attention_heads", "n_head"});
  shape.num_kv_heads = integer(json, {"num_key_value_heads"});
  shape.ffn_size = integer(json, {"intermediate_size", "n_inner"});
  shape.vocab_size = integer(json, {"vocab_size"});
  shape.max_positions = integer(json, {"max_position_embeddings", "n_positions"});
  if (json.contains("tie_word_embeddings") && json["tie_word_embeddings"].is_boolean()) {
    shape.tie_embeddings = json["tie_word_embeddings"].get<bool>();
  }
  return result;
}

}  // namespace colossal::train
