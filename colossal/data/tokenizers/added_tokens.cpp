// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/added_tokens.h"

#include "colossal/data/tokenizers/unicode.h"
#include "colossal/data/tokenizers/utf8.h"

namespace colossal::data {

AddedTokens::AddedTokens(const JsonNode& list, const Normalizer* normalizer) {
  for (const JsonNode& node : list.items()) {
    const int64_t id = node["id"].integer();
    if (id < 0 || id > INT32_MAX) node["id"].expected("a token id");
    const bool special = node.boolean_or("special", false);
    AddedToken token{.id = static_cast<int32_t>(id),
                     .content = node["content"].text(),
                     .special = special,
                     .single_word = node.boolean_or("single_word", false),
                     .strip_left = node.boolean_or("lstrip", false),
                     .strip_right = node.boolean_or("rstrip", false),
                     .normalized = node.boolean_or("normalized", !special)};
    if (token.content.empty()) continue;
    const auto index = static_cast<int32_t>(tokens_.size());
    if (token.normalized) {
      std::string content = token.content;
      if (normalizer != nullptr) normalizer->apply(content);
      if (!content.empty()) normalized_.add(content, index);
    } else {
      raw_.add(token.content, index);
    }
    index_of_[token.id] = tokens_.size();
    tokens_.push_back(std::move(token));
  }
}

const AddedToken* AddedTokens::by_id(int32_t id) const {
  const auto found = index_of_.find(id);
  return found == index_of_.end() ? nullptr : &tokens_[found->second];
}

const AddedToken* AddedTokens::by_content(std::string_view content) const {
  for (const AddedToken& token : tokens_) {
    if (token.content == content) return &token;
  }
  return nullptr;
}

void AddedTokens::Finder::add(std::string_view content, int32_t index) {
  trie.add(content, index);
  first_byte[static_cast<unsigned char>(content[0])] = true;
}

void AddedTokens::Finder::split(std::string_view text, const std::vector<AddedToken>& tokens,
                                Visit visit) const {
  size_t done = 0;
  for (size_t at = 0; at < text.size() && !trie.empty();) {
    if (!first_byte[static_cast<unsigned char>(text[at])]) {
      ++at;
      continue;
    }
    size_t length = 0;
    int32_t index = -1;
    trie.for_each_prefix(text, at, [&](size_t n, int32_t value) {
      length = n;
      index = value;
    });
    if (length == 0) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at + length;
    at = end;
    const AddedToken& token = tokens[index];
    if (token.single_word) {
      size_t next = end;
      if ((begin > 0 && is_word(previous_char(text, begin))) ||
          (end < text.size() && is_word(next_char(text, next))))
        continue;
    }
    while (token.strip_left && begin > done && is_white_space(previous_char(text, begin))) {
      begin -= to_utf8(previous_char(text, begin)).size();
    }
    while (token.strip_right && end < text.size()) {
      size_t next = end;
      if (!is_white_space(next_char(text, next))) break;
      end = next;
    }
    if (begin > done) visit(text.substr(done, begin - done), -1);
    visit(text.substr(begin, end - begin), token.id);
    done = end;
    at = std::max(at, end);
  }
  if (done < text.size()) visit(text.substr(done), -1);
}

}  // namespace colossal::data
