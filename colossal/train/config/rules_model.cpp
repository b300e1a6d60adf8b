// SPDX-License-Identifier: Apache-2.0
// Fills and checks [model] and what depends on its sizes.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/data/masked_tokens.h"
#include "colossal/models/family.h"
#include "colossal/train/config/components.h"
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {
namespace {

std::vector<int64_t> nearest_divisors(int64_t n, int64_t wanted) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d * d <= n && d <= 1'000'000; ++d) {
    if (n % d != 0) continue;
    divisors.push_back(d);
    if (d != n / d) divisors.push_back(n / d);
  }
  std::ranges::sort(divisors, {}, [&](int64_t d) { return std::pair(std::abs(d - wanted), d); });
  divisors.resize(std::min<size_t>(divisors.size(), 6));
  std::ranges::sort(divisors);
  return divisors;
}

}  // namespace

std::string divisors_near(int64_t n, int64_t wanted) {
  return fmt::format("{}", fmt::join(nearest_divisors(n, wanted), ", "));
}

std::string divisors_of(int64_t n, int64_t wanted) {
  const std::vector<int64_t> some = nearest_divisors(n, wanted);
  return fmt::format("{}{}", some.front() == 1 && some.back() == n ? "" : "for example ",
                     fmt::join(some, ", "));
}

std::string multiples_near(int64_t value, int64_t unit) {
  const int64_t below = value / unit * unit;
  return below == 0 ? fmt::format("{}", unit) : fmt::format("{} or {}", below, below + unit);
}

namespace {

bool is_rotary(const std::string& family) { return models::foreign_family(family, "model.family").rotary; }

// Whether a preset or a loaded model says something of this key.
bool brings(const config::Field& field) {
  return field.path.starts_with("model.") && field.name() != "load" && field.name() != "preset" &&
         field.name() != "init_std" && !field.name().ends_with("dropout");
}

// Who asks for a preset on the command line wants its sizes: keys of the file win over a preset of the file only.
void check_against_preset(const RunConfig& asked, const models::ModelConfig& sizes, config::Review& review) {
  if (!is_on_command_line(review, "model.preset") || family_of(sizes) != asked.model.family) return;
  RunConfig preset;
  preset.model.family = asked.model.family;
  fill_sizes(preset.model, models::by_rules(sizes));
  for (const config::Field& field : run_schema().fields) {
    if (!brings(field) || !review.given(field.path) || is_on_command_line(review, field.path)) continue;
    const auto a = field.read(&asked), b = field.read(&preset);
    if (!a || !b || config::toml_text(*a) == config::toml_text(*b)) continue;
    review.reject(
        field.path,
        fmt::format("{} = {} overrides the preset {} given with --set ({}). Remove the line, or add "
                    "--set {}={}.",
                    field.path, config::toml_text(*a), *asked.model.preset, config::toml_text(*b), field.path,
                    config::toml_text(*b)));
  }
}

// A key beside model.load may only say what the loaded model says, too.
void check_against_loaded(const RunConfig& asked, const RunConfig& loaded, config::Review& review) {
  for (const config::Field& field : run_schema().fields) {
    if (!brings(field) || !review.given(field.path)) continue;
    const auto a = field.read(&asked), b = field.read(&loaded);
    if (!a || (b && config::toml_text(*a) == config::toml_text(*b))) continue;
    review.require(false, {field.path, "model.load"},
                   fmt::format("{} = {} contradicts model.load = \"{}\", where it is {}. Remove one of them.",
                               field.path, config::toml_text(*a), *asked.model.load,
                               b ? config::toml_text(*b) : "not set"));
  }
}

void resolve_loaded(RunConfig& c, config::Review& review) {
  review.require(
      !c.model.preset, {"model.preset", "model.load"},
      fmt::format("model.preset has no effect with model.load = \"{}\". Remove one of them.", *c.model.load));
  std::optional<models::ModelConfig> loaded;
  try {
    loaded = read_loaded(*c.model.load);
  } catch (const ConfigError& error) {
    for (const std::string& problem : error.problems()) review.reject("model.load", problem);
  } catch (const IoError& error) {
    review.reject("model.load", fmt::format("model.load: {}", error.what()));
  }
  if (!loaded) return;
  const RunConfig asked = c;
  ModelSection fresh;
  fresh.load = c.model.load;
  fresh.dropout = c.model.dropout;
  fresh.attention_dropout = c.model.attention_dropout;
  fresh.init_std = c.model.init_std;
  fresh.family = family_of(*loaded);
  fill_sizes(fresh, *loaded);
  c.model = fresh;
  check_against_loaded(asked, c, review);
}

void check_heads(const RunConfig& c, config::Review& review) {
  const ModelSection& m = c.model;
  if (!m.hidden_size || !m.num_heads) return;
  const int64_t hidden = *m.hidden_size, heads = *m.num_heads;
  if (!m.head_dim) {
    review.require(
        hidden % heads == 0, {"model.num_heads", "model.hidden_size", "model.preset"},
        fmt::format("model.num_heads = {} does not divide model.hidden_size = {}. Nearest that do: {}.",
                    heads, hidden, divisors_near(hidden, heads)));
  }
  if (m.num_kv_heads) {
    review.require(
        heads % *m.num_kv_heads == 0, {"model.num_kv_heads", "model.num_heads", "model.preset"},
        fmt::format("model.num_kv_heads = {} does not divide model.num_heads = {}. Nearest that do: {}.",
                    *m.num_kv_heads, heads, divisors_near(heads, *m.num_kv_heads)));
  }
  if (is_rotary(m.family) && (m.head_dim || hidden % heads == 0)) {
    const std::string what = m.head_dim ? fmt::format("model.head_dim = {}", *m.head_dim)
                                        : fmt::format("model.hidden_size / model.num_heads = {} / {} = {}",
                                                      hidden, heads, hidden / heads);
    review.require(
        m.head_dim.value_or(hidden / heads) % 2 == 0,
        {"model.num_heads", "model.hidden_size", "model.head_dim", "model.preset"},
        fmt::format("{} is odd. Rotary positions turn pairs: the size of a head must be even.", what));
  }
}

void check_positions(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  if (!m.load && !m.max_positions) m.max_positions = c.data.sequence_length;
  if (m.max_positions) {
    const std::string fix =
        m.load ? "" : fmt::format(", or model.max_positions to at least {}", c.data.sequence_length);
    review.require(c.data.sequence_length <= *m.max_positions,
                   {"data.sequence_length", "model.max_positions", "model.preset", "model.load"},
                   fmt::format("data.sequence_length = {} is longer than model.max_positions = {}. Set "
                               "data.sequence_length to at most {}{}.",
                               c.data.sequence_length, *m.max_positions, *m.max_positions, fix));
  }
  if (m.rope_scaling && m.rope_scaling->type == "llama3") {
    review.require(m.rope_scaling->low_freq_factor < m.rope_scaling->high_freq_factor,
                   {"model.rope_scaling.low_freq_factor", "model.rope_scaling.high_freq_factor"},
                   fmt::format("model.rope_scaling.low_freq_factor = {} is not below "
                               "model.rope_scaling.high_freq_factor = {}. Llama 3 has 1 and 4.",
                               m.rope_scaling->low_freq_factor, m.rope_scaling->high_freq_factor));
  }
  review.require(
      !m.rope_scaling || is_rotary(m.family),
      {"model.rope_scaling.type", "model.rope_scaling.factor", "model.rope_scaling.low_freq_factor",
       "model.rope_scaling.high_freq_factor", "model.rope_scaling.original_max_positions", "model.family"},
      fmt::format("model.rope_scaling has no effect with model.family = \"{}\", which learns its "
                  "positions. Remove it.",
                  m.family));
}

// The byte tokenizer needs no file, so its size is known here; others are compared when they are opened.
void check_vocabulary(const RunConfig& c, config::Review& review) {
  const bool masking = task_of(c.model.family) == models::Task::masked_language;
  const int64_t ids = masking ? data::kMaskingByteIds : data::kByteIds;
  if (c.data.tokenizer != "bytes" || !c.model.vocab_size || (c.data.synthetic() && !masking)) return;
  review.require(
      *c.model.vocab_size >= ids, {"model.vocab_size", "data.tokenizer", "model.load", "data.train"},
      fmt::format("model.vocab_size = {} is smaller than the tokenizer \"bytes\", which has {} ids{}. Set "
                  "model.vocab_size to at least {}.",
                  *c.model.vocab_size, ids, masking ? " ([CLS], [SEP] and [MASK] among them)" : "", ids));
}

// A sample needs one token of text, a pair of sentences two.
void check_masking(const RunConfig& c, config::Review& review) {
  const bool pairs = c.model.next_sentence.value_or(false);
  const int64_t least = data::MaskedTokens::num_special(pairs) + (pairs ? 2 : 1);
  review.require(
      c.data.sequence_length >= least, {"data.sequence_length", "model.next_sentence"},
      fmt::format(
          "data.sequence_length = {} leaves no room for text beside {} special tokens. Allowed: at least {}.",
          c.data.sequence_length, data::MaskedTokens::num_special(pairs), least));
}

void check_images(const RunConfig& c, config::Review& review) {
  const ModelSection& m = c.model;
  if (m.image_size && m.patch_size) {
    review.require(
        *m.image_size % *m.patch_size == 0, {"model.patch_size", "model.image_size", "model.preset"},
        fmt::format("model.patch_size = {} does not divide model.image_size = {}. Nearest that do: {}.",
                    *m.patch_size, *m.image_size, divisors_near(*m.image_size, *m.patch_size)));
  }
  review.require(m.channels != 2, {"model.channels"},
                 "model.channels = 2. Allowed: 1 (grey) or 3 (red, green, blue).");
  const auto per_channel = [&](const char* key, const std::vector<double>& values) {
    const auto count = static_cast<int64_t>(values.size());
    review.require(count == 1 || count == m.channels.value_or(3), {key, "model.channels"},
                   fmt::format("{} = [{}] holds {} numbers. Allowed: one, or one for each of {} channels.",
                               key, fmt::join(values, ", "), count, m.channels.value_or(3)));
  };
  per_channel("data.pixel_mean", c.data.pixel_mean);
  per_channel("data.pixel_std", c.data.pixel_std);
}

}  // namespace

void infer_family(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  if (m.load && !review.given("model.family")) {
    try {
      if (const auto loaded = read_loaded(*m.load)) m.family = family_of(*loaded);
    } catch (const Error&) {
      // resolve_model reports it
    }
  }
  if (!m.preset) return;
  std::vector<std::string> names;
  for (const models::Family& family : models::families()) {
    for (const models::Preset& preset : family.presets) {
      if (!review.given("model.family") || family.name == m.family) names.push_back(preset.name);
      if (preset.name != *m.preset) continue;
      if (!review.given("model.family")) m.family = family.name;
      if (family.name == m.family) return;
      review.reject("model.preset",
                    fmt::format("model.preset = \"{}\" is of family {}, but model.family = \"{}\". Remove "
                                "model.family, or set it to \"{}\".",
                                *m.preset, family.name, m.family, family.name));
      return;
    }
  }
  review.reject("model.preset", fmt::format("model.preset = \"{}\" is unknown. {}", *m.preset,
                                            allowed_instead(*m.preset, names)));
  m.preset.reset();
}

void resolve_model(RunConfig& c, config::Review& review) {
  ModelSection& m = c.model;
  if (m.load) {
    resolve_loaded(c, review);
  } else {
    const models::ModelConfig sizes = m.preset ? models::preset(*m.preset) : small_sizes(m.family);
    if (m.preset) check_against_preset(c, sizes, review);
    fill_sizes(m, sizes);
    const models::ModelConfig full = models::by_rules(model_config(m, {.vocab_size = 1}));
    if (!m.num_kv_heads) m.num_kv_heads = full.num_kv_heads;
    if (!m.ffn_size) m.ffn_size = full.ffn_size;
  }
  check_heads(c, review);
  const models::Task task = task_of(m.family);
  if (task == models::Task::image_classification) return check_images(c, review);
  check_positions(c, review);
  check_vocabulary(c, review);
  if (task == models::Task::masked_language) check_masking(c, review);
}

}  // namespace colossal::train
