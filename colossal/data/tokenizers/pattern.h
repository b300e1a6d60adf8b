// SPDX-License-Identifier: Apache-2.0
// {"String": "..."} or {"Regex": "..."}: what Split and Replace look for.
//
//   Pattern pattern(node["pattern"]);
//   pattern.for_each_match(text, [](size_t begin, size_t end) { ... });
//
// Thread-safe: immutable.
#pragma once
#include <optional>
#include <string>

#include "colossal/data/tokenizers/json_node.h"
#include "colossal/data/tokenizers/regex.h"

namespace colossal::data {

class Pattern {
 public:
  explicit Pattern(const JsonNode& node);
  void for_each_match(std::string_view text, FunctionRef<void(size_t, size_t)> visit) const;
  std::string replaced(std::string_view text, std::string_view content) const;

 private:
  std::string literal_;
  std::optional<Regex> regex_;
};

}  // namespace colossal::data
