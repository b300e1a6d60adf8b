// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/tokenizers/model.h"

namespace colossal::data {

Vocabulary read_vocabulary(const JsonNode& node) {
  if (!node.json().is_object() || node.json().empty()) node.expected("an object of tokens and ids");
  constexpr int64_t kMaxId = 1 << 26;  // larger ids would only be a way to exhaust memory
  Vocabulary vocabulary;
  for (const auto& [token, id] : node.json().items()) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > kMaxId)
      node[token].expected("a token id");
    const auto value = id.get<int32_t>();
    if (const std::string* other = vocabulary.token(value); other != nullptr) {
      node[token].fail(
          fmt::format("id {} is taken by the token \"{}\" already. Ids must be unique.", value, *other));
    }
    vocabulary.add(token, value);
  }
  return vocabulary;
}

std::vector<int32_t> byte_tokens(const Vocabulary& vocabulary) {
  std::vector<int32_t> ids;
  for (int byte = 0; byte < 256; ++byte) {
    const int32_t id = vocabulary.find(fmt::format("<0x{:02X}>", byte));
    if (id < 0) return {};
    ids.push_back(id);
  }
  return ids;
}

std::unique_ptr<Model> read_model(const JsonNode& node, ByteLevel byte_level) {
  // Old files have no type; what they hold tells.
  std::string type = node.text_or("type", node.has("merges")   ? "BPE"
                                          : node.has("unk_id") ? "Unigram"
                                                               : "WordPiece");
  if (type == "BPE") return read_bpe(node, byte_level);
  if (byte_level == ByteLevel::yes) {
    node["type"].fail(
        fmt::format("model \"{}\" after a ByteLevel pre-tokenizer is not supported. Supported: BPE.", type));
  }
  if (type == "WordPiece") return read_word_piece(node);
  if (type == "Unigram") return read_unigram(node);
  node["type"].fail(fmt::format("model \"{}\" is not supported. Supported: BPE, WordPiece, Unigram.", type));
}

}  // namespace colossal::data
