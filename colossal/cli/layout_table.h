// SPDX-License-Identifier: Apache-2.0
// Who holds what of a model, as a table for people and as JSON for tools.
//
//   train::Outline outline = train::outline_of(config);
//   fmt::print("{}", layout_table(outline, {}));
//
// Thread-safe: pure functions.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/train/outline.h"

namespace colossal::cli {

// Ascending numbers, short: "0-3, 8-11", "0, 4", "0, 8, .. 56", "0-1, 8-9, .. 56-57".
std::string numbers_text(const std::vector<int>& numbers);

// A slice of a logical tensor, and all ranks that hold it.
struct Holders {
  tensor::Slice slice;
  std::vector<int> ranks;
};
std::vector<Holders> holders_of(const tensor::Layout& layout);  // by first rank

// A line per parameter and slice; blocks that are alike are one line. `rank`: only what this one holds.
std::string layout_table(const train::Outline& outline, std::optional<int> rank);

// {"mesh": [{"name", "size"}], "ranks", "numel", "local_numel", "parameters": [{"name", "shape", "layout", "local_shape",
// "slices": [{"offset", "size", "ranks"}]}]}
Json layout_json(const train::Outline& outline);

}  // namespace colossal::cli
