// SPDX-License-Identifier: Apache-2.0
// The "normalizer" of tokenizer.json: rewrites text before it is split.
//
//   auto normalizer = read_normalizer(root["normalizer"]);
//   normalizer->apply(text);
//
// Thread-safe: immutable after reading.
#pragma once
#include <memory>
#include <string>

#include "colossal/data/tokenizers/json_node.h"

namespace colossal::data {

class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(std::string& text) const = 0;
};

// Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend, Replace, BertNormalizer, Nmt.
// IoError for any other type.
std::unique_ptr<Normalizer> read_normalizer(const JsonNode& node);

}  // namespace colossal::data
