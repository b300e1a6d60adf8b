// SPDX-License-Identifier: Apache-2.0
// The "post_processor" of tokenizer.json, for one text: the ids that it puts before and behind.
//
//   Envelope envelope = read_post_processor(root["post_processor"]);     // {prefix: [1], suffix: []}
//
// Thread-safe: a value.
#pragma once
#include <cstdint>
#include <vector>

#include "colossal/data/tokenizers/json_node.h"

namespace colossal::data {

struct Envelope {
  std::vector<int32_t> prefix, suffix;
};

// TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence. IoError for any other type.
Envelope read_post_processor(const JsonNode& node);

}  // namespace colossal::data
