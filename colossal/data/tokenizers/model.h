// SPDX-License-Identifier: Apache-2.0
// The "model" of tokenizer.json: one piece of text to ids.
//
//   auto model = read_model(root["model"], ByteLevel::no);
//   model->encode(piece, workspace, ids);
//
// Thread-safe: immutable after reading; a Workspace belongs to one thread at a time.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "colossal/data/tokenizers/json_node.h"
#include "colossal/data/tokenizers/vocabulary.h"
#include "colossal/data/tokenizers/word_cache.h"

namespace colossal::data {

enum class ByteLevel { no, yes };

// What an encoder needs between calls.
struct Workspace {
  WordCache cache;
};

class Model {
 public:
  virtual ~Model() = default;
  // Appends the ids of a piece (valid UTF-8, or any bytes for byte-level BPE).
  virtual void encode(std::string_view piece, Workspace& work, std::vector<int32_t>& ids) const = 0;
  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

// BPE, WordPiece or Unigram; IoError for anything else or for a damaged one.
std::unique_ptr<Model> read_model(const JsonNode& node, ByteLevel byte_level);

std::unique_ptr<Model> read_bpe(const JsonNode& node, ByteLevel byte_level);
std::unique_ptr<Model> read_word_piece(const JsonNode& node);
std::unique_ptr<Model> read_unigram(const JsonNode& node);

// A {"token": id} object. Ids are unique and from 0.
Vocabulary read_vocabulary(const JsonNode& node);

// Id of each token <0x00> … <0xFF>; empty when one is missing.
std::vector<int32_t> byte_tokens(const Vocabulary& vocabulary);

}  // namespace colossal::data
