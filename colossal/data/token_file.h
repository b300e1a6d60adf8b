// SPDX-License-Identifier: Apache-2.0
// Token files on disk: Megatron-LM's pair NAME.bin (ids one after another) and NAME.idx (lengths of the
// documents).
//
//   TokenFileWriter writer("corpus", tokenizer->vocab_size());
//   writer.add(ids);  writer.end_document();  writer.finish();
//   TokenFile file("corpus");
//   file.read(begin, out);                              // any stretch of the whole stream
//
// Thread-safe: a TokenFile is an immutable memory map; a writer has one user.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "colossal/base/file.h"

namespace colossal::data {

// Codes of the .idx header.
enum class TokenType : uint8_t { u8 = 1, i8 = 2, i16 = 3, i32 = 4, i64 = 5, u16 = 8 };
int64_t token_bytes(TokenType type);

// "corpus", "corpus.bin" and "corpus.idx" all name the pair "corpus".
std::filesystem::path token_file_prefix(const std::filesystem::path& name);

// Removes a pair, the index first: half of one is never taken for whole. Nothing where there is none.
void remove_token_file(const std::filesystem::path& name);

// There is no room for a token file.
class NoSpace : public IoError {
 public:
  NoSpace(const std::filesystem::path& file, int64_t wanted_bytes, int64_t free_bytes);
  const std::string& shortage() const { return shortage_; }  // "the disk is full: a.bin takes at least ..."

 private:
  std::string shortage_;
};

class TokenFile {
 public:
  // IoError that names file and fact for a pair that is incomplete, truncated, or of another format.
  explicit TokenFile(const std::filesystem::path& name);

  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_documents() const { return num_documents_; }
  TokenType type() const { return type_; }
  const std::filesystem::path& prefix() const { return prefix_; }

  // Tokens begin .. begin + out.size() - 1 of the stream; the range must lie within it.
  void read(int64_t begin, std::span<int64_t> out) const;
  // First token of document i; begin of document num_documents() = num_tokens().
  int64_t document_begin(int64_t document) const;

 private:
  std::filesystem::path prefix_;
  MappedFile index_, tokens_;
  TokenType type_ = TokenType::u16;
  int64_t num_sequences_ = 0, num_documents_ = 0, num_tokens_ = 0;
};

// Writes aside; finish() renames into place, .idx last, so a pair that can be opened is whole. Not finished:
// removed.
class TokenFileWriter {
 public:
  // Ids below vocab_size are stored in 16 bits when it is below 65,500 (Megatron's rule), else in 32.
  TokenFileWriter(const std::filesystem::path& name, int64_t vocab_size);
  ~TokenFileWriter();
  TokenFileWriter(const TokenFileWriter&) = delete;
  TokenFileWriter& operator=(const TokenFileWriter&) = delete;

  // Throw NoSpace where the disk is full.
  void add(std::span<const int32_t> ids);  // to the document at hand
  void end_document();
  void finish();
  int64_t num_tokens() const { return num_tokens_; }
  int64_t num_documents() const { return static_cast<int64_t>(sizes_.size()); }

 private:
  void flush();
  [[noreturn]] void refuse(const char* operation, int64_t more_bytes) const;
  std::filesystem::path prefix_, aside_;
  std::unique_ptr<ProvisionalFolder> folder_;  // goes again when nothing comes of the file
  TokenType type_;
  int fd_ = -1;
  std::string buffer_;
  std::vector<int32_t> sizes_;
  int64_t num_tokens_ = 0, open_document_ = 0, written_bytes_ = 0;
};

}  // namespace colossal::data
