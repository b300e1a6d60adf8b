// SPDX-License-Identifier: Apache-2.0
// Fills and checks [model] and what depends on its sizes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "colossal/base/text.h"
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_shape.h"

namespace colossal::train {
namespace {

// Up to six divisors of `n`, those nearest to `wanted`, ascending: "1, 2, 3, 4, 6, 8".
std::string divisors_near(int64_t n, int64_t wanted) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d * d <= n; ++d) {
    if (n % d != 0) continue;
    divisors.push_back(d);
    if (d != n / d) divisors.push_back(n / d);
  }
  std::ranges::sort(divisors, {}, [&](int64_t d) { return std::pair(std::abs(d - wanted), d); });
  divisors.resize(std::min<size_t>(divisors.size(), 6));
  std::ranges::sort(divisors);
  return fmt::format("{}", fmt::join(divisors, ", "));
}

// Family defaults where neither the file nor a preset says anything: a model that trains on a laptop.
ModelShape small_shape(const ModelSection& m) {
  ModelShape shape;
  shape.num_layers = 6;
  shape.hidden_size = 384;
  shape.num_heads = 6;
  const bool gpt2 = m.family == "gpt2";
  const int64_t hidden = m.hidden_size.value_or(shape.hidden_size);
  shape.num_kv_heads = m.num_heads.value_or(shape.num_heads);
  shape.ffn_size = gpt2 ? 4 * hidden : (8 * hidden / 3 + 63) / 64 * 64;
  shape.norm_eps = m.family == "qwen2" ? 1e-6 : 1e-5;
  shape.tie_embeddings = gpt2;
  if (!gpt2) shape.rope_theta = m.family == "qwen2" ? 1e6 : 10000.0;
  return shape;
}

template <class T>
void fill(std::optional<T>& slot, const T& value) {
  if (!slot.has_value() && value != T{}) slot = value;
}

void fill_sizes(ModelSection& m, const ModelShape& shape) {
  fill(m.num_layers, shape.num_layers);
  fill(m.hidden_size, shape.hidden_size);
  fill(m.num_heads, shape.num_heads);
  fill(m.num_kv_heads, shape.num_kv_heads);
  fill(m.ffn_size, shape.ffn_size);
  fill(m.vocab_size, shape.vocab_size);
  fill(m.max_positions, shape.max_positions);
  if (!m.norm_eps) m.norm_eps = shape.norm_eps;
  if (!m.rope_theta) m.rope_theta = shape.rope_theta;
  if (!m.tie_embeddings) m.tie_embeddings = shape.tie_embeddings;
  if (!m.rope_scaling) m.rope_scaling = shape.rope_scaling;
}

// A key beside model.load may only say what the loaded model says, too.
void check_against_loaded(const RunConfig& before, const RunConfig& c, config::Review& review) {
  for (const config::Field& field : run_schema().fields) {
    if (field.section() != "model" || !review.given(field.path)) continue;
    const auto asked = field.read(&before), loaded = field.read(&c);
    if (!asked || (loaded && config::toml_text(*asked) == config::toml_text(*loaded))) continue;
    review.require(false, {field.path, "model.load"},
                   fmt::format("{} = {} contradicts model.load = \"{}\", where it is {}. Remove one of them.",
                               field.path, config::toml_text(*asked), *c.model.load,
                               loaded ? config::toml_text(*loaded) : "not set"));
  }
}

void resolve_loaded(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  review.require(
      !m.preset, {"model.preset", "model.load"},
      fmt::format("model.preset has no effect with model.load = \"{}\". Remove one of them.", *m.load));
  std::error_code ignored;
  const std::filesystem::path config_json = std::filesystem::path(*m.load) / "config.json";
  if (!std::filesystem::is_regular_file(config_json, ignored)) return;
  const auto loaded = read_shape(config_json);
  review.require(loaded.has_value(), {"model.load"},
                 fmt::format("model.load = \"{}\": its config.json is not a JSON object.", *m.load));
  if (!loaded) return;
  review.require(!loaded->family.empty(), {"model.load"},
                 fmt::format("model.load = \"{}\" holds a model of type \"{}\". Allowed: gpt2, llama, qwen2.",
                             *m.load, loaded->model_type));
  if (loaded->family.empty()) return;
  const RunConfig before = c;
  m.family = loaded->family;
  m.num_layers = m.hidden_size = m.num_heads = m.num_kv_heads = m.ffn_size = m.vocab_size =
      m.max_positions = {};
  m.tie_embeddings = {};
  fill_sizes(m, loaded->shape);
  check_against_loaded(before, c, review);
}

void check_heads(const RunConfig& c, config::Review& review) {
  const ModelSection& m = c.model;
  if (!m.hidden_size || !m.num_heads) return;
  const int64_t hidden = *m.hidden_size, heads = *m.num_heads;
  review.require(
      hidden % heads == 0, {"model.num_heads", "model.hidden_size", "model.preset"},
      fmt::format("model.num_heads = {} does not divide model.hidden_size = {}. Nearest that do: {}.", heads,
                  hidden, divisors_near(hidden, heads)));
  if (m.num_kv_heads) {
    review.require(
        heads % *m.num_kv_heads == 0, {"model.num_kv_heads", "model.num_heads", "model.preset"},
        fmt::format("model.num_kv_heads = {} does not divide model.num_heads = {}. Nearest that do: {}.",
                    *m.num_kv_heads, heads, divisors_near(heads, *m.num_kv_heads)));
  }
  if (m.family != "gpt2" && hidden % heads == 0) {
    review.require(
        hidden / heads % 2 == 0, {"model.num_heads", "model.hidden_size", "model.preset"},
        fmt::format("model.hidden_size / model.num_heads = {} / {} = {} is odd. Rotary positions turn pairs: "
                    "the size of a head must be even.",
                    hidden, heads, hidden / heads));
  }
}

void check_positions(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  if (!m.load) fill(m.max_positions, c.data.sequence_length);
  if (m.max_positions) {
    const std::string fix =
        m.load ? "" : fmt::format(", or model.max_positions to at least {}", c.data.sequence_length);
    review.require(c.data.sequence_length <= *m.max_positions,
                   {"data.sequence_length", "model.max_positions", "model.preset", "model.load"},
                   fmt::format("data.sequence_length = {} is longer than model.max_positions = {}. Set "
                               "data.sequence_length to at most {}{}.",
                               c.data.sequence_length, *m.max_positions, *m.max_positions, fix));
  }
  if (m.rope_scaling) {
    review.require(m.rope_scaling->low_freq_factor < m.rope_scaling->high_freq_factor,
                   {"model.rope_scaling.low_freq_factor", "model.rope_scaling.high_freq_factor"},
                   fmt::format("model.rope_scaling.low_freq_factor = {} is not below "
                               "model.rope_scaling.high_freq_factor = {}. Llama 3 has 1 and 4.",
                               m.rope_scaling->low_freq_factor, m.rope_scaling->high_freq_factor));
  }
  review.require(
      !m.rope_scaling || m.family != "gpt2",
      {"model.rope_scaling.factor", "model.rope_scaling.low_freq_factor",
       "model.rope_scaling.high_freq_factor", "model.rope_scaling.original_max_positions", "model.family"},
      "model.rope_scaling has no effect with model.family = \"gpt2\", which learns its positions. Remove "
      "it.");
}

}  // namespace

void infer_family(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  if (m.load && !review.given("model.family")) {
    std::error_code ignored;
    const std::filesystem::path config_json = std::filesystem::path(*m.load) / "config.json";
    const auto loaded =
        std::filesystem::is_regular_file(config_json, ignored) ? read_shape(config_json) : std::nullopt;
    if (loaded && !loaded->family.empty()) m.family = loaded->family;
  }
  if (!m.preset) return;
  const ModelPreset* preset = find_preset(*m.preset);
  if (preset == nullptr) {
    std::vector<std::string> names;
    for (const ModelPreset& each : model_presets()) {
      if (!review.given("model.family") || each.family == m.family) names.emplace_back(each.name);
    }
    const auto near = did_you_mean(*m.preset, names);
    review.reject("model.preset",
                  fmt::format("model.preset = \"{}\" is unknown. Allowed: {}.{}", *m.preset,
                              join(names, ", "), near ? fmt::format(" Did you mean \"{}\"?", *near) : ""));
  } else if (!review.given("model.family")) {
    m.family = preset->family;
  } else if (preset->family != m.family) {
    review.reject(
        "model.preset",
        fmt::format(
            "model.preset = \"{}\" is of family {}, but model.family = \"{}\". Remove model.family, or set "
            "it to \"{}\".",
            *m.preset, preset->family, m.family, preset->family));
  }
}

void resolve_model(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  if (m.load) {
    resolve_loaded(c, review);
  } else {
    if (m.preset) {
      if (const ModelPreset* preset = find_preset(*m.preset)) fill_sizes(m, preset->shape);
    }
    fill_sizes(m, small_shape(m));
  }
  check_heads(c, review);
  check_positions(c, review);
}

}  // namespace colossal::train
