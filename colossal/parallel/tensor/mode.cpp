// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/mode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace colossal::parallel {
namespace {

// The side of a square or cube of ranks, rounded down.
int64_t side_of(int64_t ranks, int64_t power) {
  int64_t q = 1;
  while (std::pow(q + 1, power) <= static_cast<double>(ranks)) ++q;
  return q;
}

std::string nearest(int64_t ranks, int64_t factor, int64_t power, std::string_view shape) {
  const auto full = [&](int64_t q) {
    int64_t n = factor;
    for (int64_t i = 0; i < power; ++i) n *= q;
    return n;
  };
  const int64_t q = std::max<int64_t>(1, side_of(std::max<int64_t>(1, ranks / factor), power));
  if (full(q) == ranks) return {};
  return fmt::format(
      "size = {} is not {}. Nearest sizes that are: {}", ranks, shape,
      full(q) < ranks ? fmt::format("{} and {}", full(q), full(q + 1)) : fmt::format("{}", full(q)));
}

}  // namespace

std::optional<TensorMode> tensor_mode(std::string_view name) {
  const auto* const found = std::find(std::begin(kTensorModes), std::end(kTensorModes), name);
  if (found == std::end(kTensorModes)) return std::nullopt;
  return static_cast<TensorMode>(found - std::begin(kTensorModes));
}

std::string problem(const TensorParallel& how) {
  if (how.depth != 1 && how.mode != TensorMode::two_and_half_d)
    return fmt::format("depth = {} belongs to mode \"2.5d\"", how.depth);
  switch (how.mode) {
    case TensorMode::none:
      return how.size == 1 ? ""
                           : fmt::format("size = {} needs a mode: 1d, 1d-sequence, 2d, 2.5d or 3d", how.size);
    case TensorMode::one_d:
    case TensorMode::one_d_sequence: return {};
    case TensorMode::two_d: return nearest(how.size, 1, 2, "a square");
    case TensorMode::two_and_half_d:
      return nearest(how.size, how.depth, 2, fmt::format("depth x q x q with depth = {}", how.depth));
    case TensorMode::three_d: return nearest(how.size, 1, 3, "a cube");
  }
  return {};
}

std::vector<comm::Axis> tensor_axes(const TensorParallel& how) {
  const auto q = [&](int64_t power) { return static_cast<int>(side_of(how.size / how.depth, power)); };
  switch (how.mode) {
    case TensorMode::none: return {};
    case TensorMode::one_d:
    case TensorMode::one_d_sequence: return {{"tensor", static_cast<int>(how.size)}};
    case TensorMode::two_d: return {{"row", q(2)}, {"column", q(2)}};
    case TensorMode::two_and_half_d:
      return {{"depth", static_cast<int>(how.depth)}, {"row", q(2)}, {"column", q(2)}};
    case TensorMode::three_d: return {{"cube_k", q(3)}, {"cube_j", q(3)}, {"cube_i", q(3)}};
  }
  return {};
}

Arrangement arrangement(TensorMode mode) {
  switch (mode) {
    case TensorMode::none: return {};
    case TensorMode::one_d:
      return {.inner = {.hidden = {"tensor"}}, .contract_input = {"tensor"}, .vocabulary_axes = {"tensor"}};
    case TensorMode::one_d_sequence:
      return {.stream = {.sequence = {"tensor"}},
              .inner = {.hidden = {"tensor"}},
              .contract_input = {"tensor"},
              .vocabulary_axes = {"tensor"}};
    case TensorMode::two_d: {
      const nn::Placement both{.batch = {"row"}, .hidden = {"column"}};
      return {.stream = both,
              .inner = both,
              .expand_input = {"row"},
              .contract_input = {"row"},
              .vocabulary_axes = {"row"}};
    }
    case TensorMode::two_and_half_d: {
      Arrangement who = arrangement(TensorMode::two_d);
      who.stream.batch = who.inner.batch = {"depth", "row"};
      who.replica_axes = {"depth"};
      return who;
    }
    case TensorMode::three_d:
      return {.stream = {.batch = {"cube_i", "cube_k"}, .hidden = {"cube_j"}},
              .inner = {.batch = {"cube_i", "cube_j"}, .hidden = {"cube_k"}},
              .expand_input = {"cube_j", "cube_i"},
              .contract_input = {"cube_k", "cube_i"},
              .vocabulary_axes = {"cube_k", "cube_i"}};
  }
  return {};
}

}  // namespace colossal::parallel
