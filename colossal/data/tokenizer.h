// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back: Hugging Face tokenizer.json (byte-level BPE, BPE with byte fallback, WordPiece,
// Unigram), read natively, and the tokenizer "bytes", which needs no file.
//
//   auto tokenizer = Tokenizer::load("llama/tokenizer.json");
//   std::vector<int32_t> ids = tokenizer->encode("Hello, world!", SpecialTokens::keep);
//   std::string text = tokenizer->decode(ids);
//
// Thread-safe: encode and decode may be called from any number of threads.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace colossal::data {

// Ids of the tokenizer "bytes": 0 to 255 are the bytes themselves, 256 ends a text; for masking also [CLS], [SEP] and [MASK].
constexpr int64_t kByteIds = 257, kMaskingByteIds = kByteIds + 3;

// What is to be learned from the text: what comes next, or what stands at masked places.
enum class Purpose { next_token, masking };

// encode: keep = add what the post-processor adds (BOS, [CLS] …), skip = the text alone.
// decode: keep = write special tokens out, skip = leave them away.
enum class SpecialTokens { skip, keep };

class Tokenizer {
 public:
  // "bytes", a tokenizer.json, or a folder that holds one; ConfigError where there is none. IoError for a damaged
  // or unsupported file names the file and the JSON path. Truncation and padding that the file asks for are left to the caller: they
  // belong to batches, not text.
  static std::unique_ptr<Tokenizer> load(const std::string& name, Purpose purpose = Purpose::next_token);

  virtual ~Tokenizer() = default;

  // `text` is UTF-8 (the bytes tokenizer takes anything); IoError with the byte offset otherwise. Appends to
  // `ids`.
  virtual void encode(std::string_view text, SpecialTokens special, std::vector<int32_t>& ids) const = 0;
  std::vector<int32_t> encode(std::string_view text, SpecialTokens special = SpecialTokens::skip) const;

  // Unknown ids are left away. The result is valid UTF-8: broken sequences become U+FFFD.
  virtual std::string decode(std::span<const int32_t> ids,
                             SpecialTokens special = SpecialTokens::skip) const = 0;
  std::string decode(std::span<const int64_t> ids, SpecialTokens special = SpecialTokens::skip) const;

  // Largest id + 1: the least vocabulary that a model needs.
  virtual int64_t vocab_size() const = 0;
  virtual std::optional<int32_t> token_to_id(std::string_view token) const = 0;
  virtual std::optional<std::string> id_to_token(int32_t id) const = 0;

  // The token between documents: eos_token of tokenizer_config.json beside the file, else the first known of
  // <|endoftext|> <|end_of_text|> </s> <eos> <|im_end|> [SEP]; 256 for "bytes".
  virtual std::optional<int32_t> end_of_text() const = 0;

  // A hash over everything that decides the ids; part of the key of cached token files.
  virtual std::string fingerprint() const = 0;
};

// The tokens around sentences and in place of masked ones: [CLS], [SEP], [MASK] as in BERT, or else <s>, </s>, <mask>. ConfigError that
// names data.tokenizer where they are missing.
struct MaskingTokens {
  int32_t begin = 0, separator = 0, mask = 0;
};
MaskingTokens masking_tokens(const Tokenizer& tokenizer, const std::string& name);

// "bytes" as the text of a tokenizer.json (byte-level BPE without merges), for programs that know only such files. The same ids
// for text that is UTF-8 and does not spell out <|endoftext|>.
std::string bytes_tokenizer_json(Purpose purpose = Purpose::next_token);

}  // namespace colossal::data
