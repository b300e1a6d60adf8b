// SPDX-License-Identifier: Apache-2.0
// Token files as one stream, and stretches of it as training sequences.
//
//   auto stream = std::make_shared<TokenStream>(prefixes);
//   auto [train, held_out] = split_tokens(stream, /*held_out=*/0.01, {.length = 1024, .vocab_size = 50257});
//
// Thread-safe: immutable.
#pragma once
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "colossal/data/dataset.h"
#include "colossal/data/token_file.h"

namespace colossal::data {

// Several token files, one behind the other.
class TokenStream {
 public:
  explicit TokenStream(std::span<const std::filesystem::path> prefixes);
  int64_t num_tokens() const { return begins_.back(); }
  int64_t num_documents() const;
  void read(int64_t begin, std::span<int64_t> out) const;
  // Tells other tokens from these without reading them all: their number, and a hash of blocks spread over them. Up to 64 reads.
  std::string fingerprint() const;
  // "corpus.bin, token 17": where a token of the stream stands on disk.
  std::string place(int64_t token) const;

 private:
  std::vector<TokenFile> files_;
  std::vector<int64_t> begins_{0};  // first token of each file, then the end
};

struct SequenceOptions {
  int64_t length = 1024;   // data.sequence_length
  int64_t reserved = 0;    // so many of them are not taken from the text: special tokens have their places
  int64_t vocab_size = 0;  // ids are below it
};

// Documents packed without padding: sample i is the S + 1 tokens from begin + i * S; "input_ids" the first S, "labels" the last S, so
// every token of the range is a label once (but the first).
class TokenDataset : public Dataset {
 public:
  // Uses the tokens begin .. end - 1 of the stream. ConfigError when they do not make one sequence; fetch
  // throws IoError for an id that is not below vocab_size.
  TokenDataset(std::shared_ptr<const TokenStream> stream, int64_t begin, int64_t end,
               const SequenceOptions& options);
  int64_t size() const override { return (end_ - begin_ - 1) / length_; }
  Batch fetch(std::span<const int64_t> samples, int64_t position) const override;

 private:
  std::shared_ptr<const TokenStream> stream_;
  int64_t begin_, end_, length_, vocab_size_;
};

struct TokenSplit {
  std::shared_ptr<const Dataset> train, held_out;  // held_out is null for a fraction of 0
};

// The last `held_out` (0 to below 1) of the tokens are kept apart. The border does not depend on
// sequence_length.
TokenSplit split_tokens(const std::shared_ptr<const TokenStream>& stream, double held_out,
                        const SequenceOptions& options);

}  // namespace colossal::data
