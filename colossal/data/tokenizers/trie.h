// SPDX-License-Identifier: Apache-2.0
// A byte trie for "which entries begin here": Unigram pieces, added tokens.
//
//   trie.add("the", 5);
//   trie.for_each_prefix(text, at, [](size_t length, int32_t value) { ... });      // shortest first
//
// Thread-safe once filled.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "colossal/data/tokenizers/flat_map.h"

namespace colossal::data {

class Trie {
 public:
  void add(std::string_view key,
           int32_t value) {  // the key is not empty; a later value replaces an earlier one
    uint64_t node = 0;
    for (const char c : key) {
      uint64_t& child = edges_[node << 8 | static_cast<unsigned char>(c)];
      if (child == 0) {
        values_.push_back(-1);
        child = values_.size();
      }
      node = child;
    }
    values_[node - 1] = value;
  }

  template <typename Visit>
  void for_each_prefix(std::string_view text, size_t at, Visit&& visit) const {
    uint64_t node = 0;
    for (size_t i = at; i < text.size(); ++i) {
      const uint64_t* child = edges_.find(node << 8 | static_cast<unsigned char>(text[i]));
      if (child == nullptr) return;
      node = *child;
      if (values_[node - 1] >= 0) visit(i + 1 - at, values_[node - 1]);
    }
  }
  bool empty() const { return values_.empty(); }

 private:
  FlatMap edges_;                // node << 8 | byte -> child; the root is 0
  std::vector<int32_t> values_;  // of node - 1
};

}  // namespace colossal::data
