// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/config/model_sizes.h"

#include <fmt/format.h>

#include <algorithm>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/read_json.h"
#include "colossal/base/text.h"
#include "colossal/models/family.h"
#include "colossal/train/config/components.h"
#include "colossal/train/config/describe.h"

namespace colossal::train {
namespace {

template <class T>
void fill(std::optional<T>& slot, const T& value) {
  if (!slot.has_value() && value != T{}) slot = value;
}

// A checkpoint keeps the resolved run file in its manifest.
std::optional<models::ModelConfig> read_manifest(const std::filesystem::path& path) {
  const Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  const bool has = json.is_object() && json.contains("state") && json["state"].is_object() &&
                   json["state"].contains("config") && json["state"]["config"].is_string();
  if (!has) return std::nullopt;
  return model_config(read_resolved(json["state"]["config"].get<std::string>(), path.string()).model, {});
}

}  // namespace

std::vector<std::string> family_names() {
  std::vector<std::string> names;
  for (const models::Family& family : models::families()) names.push_back(family.name);
  return names;
}

std::vector<std::string> rotary_families() {
  std::vector<std::string> names;
  for (const models::Family& family : models::families()) {
    if (family.rotary) names.push_back(family.name);
  }
  return names;
}

std::vector<std::string> families_with(std::initializer_list<models::Task> tasks) {
  std::vector<std::string> names;
  for (const models::Family& family : models::families()) {
    if (std::ranges::find(tasks, family.task) != tasks.end()) names.push_back(family.name);
  }
  return names;
}

models::Task task_of(const std::string& family) {
  return models::foreign_family(family, "model.family").task;
}

std::string preset_help() {
  std::vector<std::string> lines;
  for (const models::Family& family : models::families()) {
    std::vector<std::string> names;
    for (const models::Preset& preset : family.presets) names.push_back(preset.name);
    lines.push_back(fmt::format("{}: {}", family.name, join(names, ", ")));
  }
  return join(lines, "; ") + ".";
}

std::string family_of(const models::ModelConfig& config) { return models::family(config.family).name; }

models::ModelConfig small_sizes(const std::string& family) {
  models::ModelConfig sizes = models::foreign_family(family, "model.family").usual;
  sizes.num_layers = 6;
  sizes.hidden_size = 384;
  sizes.num_heads = 6;
  sizes.max_positions = 0;
  sizes.image = {.size = 0, .patch = 0, .channels = 0, .num_classes = 0};
  sizes.next_sentence = sizes.family == "bert";
  return sizes;
}

void fill_sizes(ModelSection& m, const models::ModelConfig& sizes) {
  fill(m.num_layers, sizes.num_layers);
  fill(m.hidden_size, sizes.hidden_size);
  fill(m.num_heads, sizes.num_heads);
  fill(m.num_kv_heads, sizes.num_kv_heads);
  fill(m.head_dim, sizes.head_dim);
  fill(m.ffn_size, sizes.ffn_size);
  if (!m.norm_eps) m.norm_eps = sizes.norm_eps;
  const models::Task task = models::family(sizes.family).task;
  if (task == models::Task::image_classification) {
    fill(m.image_size, sizes.image.size);
    fill(m.patch_size, sizes.image.patch);
    fill(m.channels, sizes.image.channels);
    fill(m.num_classes, sizes.image.num_classes);
    return;
  }
  fill(m.vocab_size, sizes.vocab_size);
  fill(m.max_positions, sizes.max_positions);
  if (!m.tie_embeddings) m.tie_embeddings = sizes.tie_embeddings;
  if (task == models::Task::masked_language && !m.next_sentence) m.next_sentence = sizes.next_sentence;
  if (!models::family(sizes.family).rotary) return;
  if (!m.rope_theta) m.rope_theta = sizes.rope.theta;
  if (!m.rope_scaling && sizes.rope.scaling != models::Rope::Scaling::none) {
    m.rope_scaling = RopeScaling{sizes.rope.scaling == models::Rope::Scaling::linear ? "linear" : "llama3",
                                 sizes.rope.factor, sizes.rope.low_freq_factor, sizes.rope.high_freq_factor,
                                 sizes.rope.original_max_positions};
  }
}

std::optional<models::ModelConfig> read_loaded(const std::string& folder) {
  std::error_code ignored;
  const std::filesystem::path config_json = std::filesystem::path(folder) / "config.json";
  if (std::filesystem::is_regular_file(config_json, ignored)) {
    const Json json = read_json(config_json);
    if (!json.is_object() || !json.contains("model_type") || !json["model_type"].is_string()) {
      throw ConfigError(
          fmt::format("model.load = \"{}\": config.json is no JSON object with a model_type.", folder));
    }
    const std::string where = config_json.string();
    return models::complete(models::foreign_family(json["model_type"], where).foreign.read(json, where));
  }
  const std::filesystem::path manifest = std::filesystem::path(folder) / "manifest.json";
  return std::filesystem::is_regular_file(manifest, ignored) ? read_manifest(manifest) : std::nullopt;
}

}  // namespace colossal::train
