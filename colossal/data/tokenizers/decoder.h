// SPDX-License-Identifier: Apache-2.0
// The "decoder" of tokenizer.json: from the texts of tokens to text.
//
//   auto decoder = read_decoder(root["decoder"]);
//   decoder->apply(tokens);                  // then all of `tokens` joined is the text
//
// Thread-safe: immutable after reading.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "colossal/data/tokenizers/json_node.h"

namespace colossal::data {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual void apply(std::vector<std::string>& tokens) const = 0;
};

// ByteLevel, Metaspace, WordPiece, BPEDecoder, ByteFallback, Fuse, Strip, Replace, Sequence. IoError for any
// other type.
std::unique_ptr<Decoder> read_decoder(const JsonNode& node);

}  // namespace colossal::data
