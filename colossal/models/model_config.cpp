// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/model_config.h"

#include <cmath>
#include <numbers>

namespace colossal::models {
namespace {

double llama3_scaled(double frequency, const Rope& rope) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const double original = static_cast<double>(rope.original_max_positions);
  if (wavelength < original / rope.high_freq_factor) return frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  const double kept =
      (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - kept) * frequency / rope.factor + kept * frequency;
}

std::string divisors(int64_t n) {
  std::string text;
  for (int64_t d = 1; d <= n; ++d) {
    if (n % d == 0) text += fmt::format("{}{}", text.empty() ? "" : ", ", d);
  }
  return text;
}

}  // namespace

std::vector<double> inverse_frequencies(const Rope& rope, int64_t head_dim) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < head_dim; i += 2) {
    const double plain = 1 / std::pow(rope.theta, static_cast<double>(i) / static_cast<double>(head_dim));
    frequencies.push_back(rope.scaling == Rope::Scaling::llama3   ? llama3_scaled(plain, rope)
                          : rope.scaling == Rope::Scaling::linear ? plain / rope.factor
                                                                  : plain);
  }
  return frequencies;
}

std::vector<std::string> problems(const ModelConfig& c, Modality modality) {
  std::vector<std::string> found;
  std::vector<std::pair<const char*, int64_t>> sizes = {
      {"num_layers", c.num_layers},     {"hidden_size", c.hidden_size}, {"num_heads", c.num_heads},
      {"num_kv_heads", c.num_kv_heads}, {"head_dim", c.head_dim},       {"ffn_size", c.ffn_size}};
  if (modality == Modality::text) {
    sizes.insert(sizes.end(), {{"vocab_size", c.vocab_size},
                               {"max_positions", c.max_positions},
                               {"num_token_types", c.num_token_types}});
  } else {
    sizes.insert(sizes.end(), {{"image_size", c.image.size},
                               {"patch_size", c.image.patch},
                               {"channels", c.image.channels},
                               {"num_classes", c.image.num_classes}});
  }
  for (const auto& [key, value] : sizes) {
    if (value < 1) found.push_back(fmt::format("model.{} = {}. Allowed: at least 1.", key, value));
  }
  if (!found.empty()) return found;
  if (modality == Modality::image && c.image.size % c.image.patch != 0) {
    found.push_back(fmt::format("model.patch_size = {} does not divide model.image_size = {}. Divisors: {}.",
                                c.image.patch, c.image.size, divisors(c.image.size)));
  }
  if (c.num_heads % c.num_kv_heads != 0) {
    found.push_back(fmt::format("model.num_kv_heads = {} does not divide model.num_heads = {}. Divisors: {}.",
                                c.num_kv_heads, c.num_heads, divisors(c.num_heads)));
  }
  const std::pair<const char*, double> rates[] = {{"dropout", c.dropout},
                                                  {"attention_dropout", c.attention_dropout}};
  for (const auto& [key, value] : rates) {
    if (!(value >= 0 && value < 1))
      found.push_back(fmt::format("model.{} = {}. Allowed: 0 <= rate < 1.", key, value));
  }
  if (!(c.norm_eps > 0)) found.push_back(fmt::format("model.norm_eps = {}. Allowed: above 0.", c.norm_eps));
  if (!(c.init_std > 0)) found.push_back(fmt::format("model.init_std = {}. Allowed: above 0.", c.init_std));
  return found;
}

}  // namespace colossal::models
