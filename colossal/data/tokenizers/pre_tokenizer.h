// SPDX-License-Identifier: Apache-2.0
// The "pre_tokenizer" of tokenizer.json: cuts text into the pieces that the model sees one by one.
//
//   PreTokenizer splitter = read_pre_tokenizer(root["pre_tokenizer"]);
//   splitter.split({text, true}, [&](Piece piece) { model.encode(piece.text, ids); });
//
// Thread-safe: immutable after reading.
#pragma once
#include <memory>
#include <string_view>
#include <vector>

#include "colossal/data/tokenizers/function_ref.h"
#include "colossal/data/tokenizers/json_node.h"

namespace colossal::data {

struct Piece {
  std::string_view text;  // never empty
  bool first;             // begins where the whole input begins
};
using PieceSink = FunctionRef<void(Piece)>;

class SplitStage {
 public:
  virtual ~SplitStage() = default;
  virtual void split(Piece piece, PieceSink sink) const = 0;
};

class PreTokenizer {
 public:
  void split(Piece piece, PieceSink sink) const { run(0, piece, sink); }

  // The model sees raw bytes (byte-level BPE), not characters.
  bool byte_level = false;
  std::vector<std::unique_ptr<SplitStage>> stages;

 private:
  void run(size_t stage, Piece piece, PieceSink sink) const;
};

// Sequence, ByteLevel (last), Metaspace, Split, BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation,
// Digits, CharDelimiterSplit. IoError for any other type.
PreTokenizer read_pre_tokenizer(const JsonNode& node);

}  // namespace colossal::data
