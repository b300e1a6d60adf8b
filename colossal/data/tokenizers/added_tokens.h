// SPDX-License-Identifier: Apache-2.0
// The "added_tokens" of tokenizer.json: cut out of the text before anything else sees it.
//
//   AddedTokens added(root["added_tokens"], normalizer);
//   added.split_raw(text, [](std::string_view part, int32_t id) { ... });         // id -1: plain text
//
// Thread-safe: immutable after reading.
#pragma once
#include <array>
#include <string>
#include <unordered_map>
#include <vector>

#include "colossal/data/tokenizers/function_ref.h"
#include "colossal/data/tokenizers/json_node.h"
#include "colossal/data/tokenizers/normalizer.h"
#include "colossal/data/tokenizers/trie.h"

namespace colossal::data {

struct AddedToken {
  int32_t id;
  std::string content;
  bool special, single_word, strip_left, strip_right, normalized;
};

class AddedTokens {
 public:
  using Visit = FunctionRef<void(std::string_view part, int32_t id)>;

  AddedTokens() = default;
  AddedTokens(const JsonNode& list, const Normalizer* normalizer);

  // Tokens that are looked for in the raw text, and those looked for after normalization. Parts are never
  // empty.
  void split_raw(std::string_view text, Visit visit) const { raw_.split(text, tokens_, visit); }
  void split_normalized(std::string_view text, Visit visit) const { normalized_.split(text, tokens_, visit); }

  const std::vector<AddedToken>& tokens() const { return tokens_; }
  const AddedToken* by_id(int32_t id) const;
  const AddedToken* by_content(std::string_view content) const;

 private:
  // Leftmost, longest match.
  struct Finder {
    void add(std::string_view content, int32_t index);
    void split(std::string_view text, const std::vector<AddedToken>& tokens, Visit visit) const;
    Trie trie;
    std::array<bool, 256> first_byte{};
  };
  std::vector<AddedToken> tokens_;
  std::unordered_map<int32_t, size_t> index_of_;
  Finder raw_, normalized_;
};

}  // namespace colossal::data
