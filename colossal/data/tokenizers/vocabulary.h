// SPDX-License-Identifier: Apache-2.0
// Tokens and their ids, both ways.
//
//   vocabulary.add("the", 262);   vocabulary.find("the") -> 262, or -1
//
// Thread-safe once filled.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace colossal::data {

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
};
using StringToId = std::unordered_map<std::string, int32_t, StringHash, std::equal_to<>>;

class Vocabulary {
 public:
  void add(const std::string& token, int32_t id) {
    ids_[token] = id;
    if (static_cast<size_t>(id) >= tokens_.size()) tokens_.resize(id + 1);
    tokens_[id] = token;
  }
  int32_t find(std::string_view token) const {
    const auto found = ids_.find(token);
    return found == ids_.end() ? -1 : found->second;
  }
  // Null for an id that is not in use.
  const std::string* token(int32_t id) const {
    if (id < 0 || static_cast<size_t>(id) >= tokens_.size()) return nullptr;
    const std::string& token = tokens_[id];
    return token.empty() && find(token) != id ? nullptr : &token;
  }
  int64_t size() const { return static_cast<int64_t>(tokens_.size()); }  // largest id + 1
  const StringToId& ids() const { return ids_; }

 private:
  StringToId ids_;
  std::vector<std::string> tokens_;
};

}  // namespace colossal::data
