// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/token_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/text.h"

namespace colossal::data {
namespace {

// .idx: magic, u64 version, u8 type, u64 sequences, u64 document marks; then i32 length per sequence, i64
// byte offset per sequence, i64 first sequence per document plus the end. All little-endian, not aligned.
constexpr std::string_view kMagic("MMIDIDX\0\0", 9);
constexpr int64_t kHeaderBytes = 34;

template <typename T>
T load(std::span<const std::byte> bytes, int64_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

template <typename T>
void append(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

std::filesystem::path with(std::filesystem::path prefix, const char* ending) { return prefix += ending; }

template <typename T>
void widen(const std::byte* from, std::span<int64_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof value);
    out[i] =
        value;  // NOLINT(bugprone-signed-char-misuse): a token of type i8 is a number, and keeps its sign
  }
}

// On the disk that `folder` is on, for this user; plenty where nobody can say.
int64_t free_bytes(const std::filesystem::path& folder) {
  constexpr int64_t kPlenty = int64_t{1} << 60;
  std::error_code unknown;
  const auto room = std::filesystem::space(folder.empty() ? "." : folder, unknown);
  return unknown ? kPlenty : static_cast<int64_t>(std::min<uintmax_t>(room.available, kPlenty));
}

}  // namespace

NoSpace::NoSpace(const std::filesystem::path& file, int64_t wanted_bytes, int64_t free_bytes)
    : IoError(
          fmt::format("{}: the disk is full: it takes at least {}, {} are free. Free space, or name another "
                      "folder.",
                      file.string(), human_bytes(static_cast<double>(wanted_bytes)),
                      human_bytes(static_cast<double>(free_bytes)))),
      shortage_(fmt::format("the disk is full: {} takes at least {}, {} are free", file.filename().string(),
                            human_bytes(static_cast<double>(wanted_bytes)),
                            human_bytes(static_cast<double>(free_bytes)))) {}

int64_t token_bytes(TokenType type) {
  switch (type) {
    case TokenType::u8:
    case TokenType::i8: return 1;
    case TokenType::i16:
    case TokenType::u16: return 2;
    case TokenType::i32: return 4;
    case TokenType::i64: return 8;
  }
  return 0;
}

std::filesystem::path token_file_prefix(const std::filesystem::path& name) {
  const bool named = name.extension() == ".bin" || name.extension() == ".idx";
  return named ? std::filesystem::path(name).replace_extension() : name;
}

void remove_token_file(const std::filesystem::path& name) {
  std::error_code stays;
  for (const char* ending : {".idx", ".bin"})
    std::filesystem::remove(with(token_file_prefix(name), ending), stays);
}

TokenFile::TokenFile(const std::filesystem::path& name)
    : prefix_(token_file_prefix(name)), index_(with(prefix_, ".idx")), tokens_(with(prefix_, ".bin")) {
  const auto index = index_.bytes();
  const auto size = static_cast<int64_t>(index.size());
  const std::string file = index_.path().string();
  if (size < kHeaderBytes || std::memcmp(index.data(), kMagic.data(), kMagic.size()) != 0) {
    throw IoError(fmt::format(
        "{}: is not an index of tokens (Megatron .idx). Write one with `colossal tokenize`.", file));
  }
  if (const auto version = load<uint64_t>(index, 9); version != 1) {
    throw IoError(fmt::format("{}: version {} of the index. Allowed: 1.", file, version));
  }
  type_ = static_cast<TokenType>(load<uint8_t>(index, 17));
  if (token_bytes(type_) == 0) {
    throw IoError(fmt::format("{}: type code {} of the tokens. Allowed: integers, codes 1 to 5 and 8.", file,
                              static_cast<int>(type_)));
  }
  const auto sequences = load<uint64_t>(index, 18);
  const auto marks = load<uint64_t>(index, 26);
  constexpr uint64_t kMost = uint64_t{1} << 50;  // keeps the sum below from overflowing
  if (sequences > kMost || marks > kMost || marks < 1 ||
      size != kHeaderBytes + static_cast<int64_t>(sequences * 12 + marks * 8)) {
    throw IoError(fmt::format(
        "{}: truncated or damaged: its header promises {} sequences and {} document marks, which do not "
        "make {} bytes. Write it again with `colossal tokenize`.",
        file, sequences, marks, size));
  }
  num_sequences_ = static_cast<int64_t>(sequences);
  num_documents_ = static_cast<int64_t>(marks) - 1;
  for (int64_t i = 0; i < num_sequences_; ++i) {
    const auto length = load<int32_t>(index, kHeaderBytes + 4 * i);
    const auto offset = load<int64_t>(index, kHeaderBytes + 4 * num_sequences_ + 8 * i);
    if (length < 0 || offset != num_tokens_ * token_bytes(type_)) {
      throw IoError(fmt::format(
          "{}: sequence {} (length {}, offset {}) does not follow the one before it, at {}. Only streams "
          "without gaps are supported.",
          file, i, length, offset, num_tokens_ * token_bytes(type_)));
    }
    num_tokens_ += length;
  }
  for (int64_t i = 0, last = 0; i <= num_documents_; ++i) {
    const auto mark = load<int64_t>(index, size - 8 * (num_documents_ + 1 - i));
    if (mark < last || mark > num_sequences_ || (i == 0 && mark != 0) ||
        (i == num_documents_ && mark != num_sequences_)) {
      throw IoError(fmt::format("{}: document mark {} is {}, not between {} and {} sequences.", file, i, mark,
                                last, num_sequences_));
    }
    last = mark;
  }
  if (static_cast<int64_t>(tokens_.bytes().size()) != num_tokens_ * token_bytes(type_)) {
    throw IoError(
        fmt::format("{}: {} bytes, but {} promises {} tokens of {} bytes. One of the two is damaged. Copy "
                    "or write both again (`colossal tokenize`).",
                    tokens_.path().string(), tokens_.bytes().size(), file, num_tokens_, token_bytes(type_)));
  }
}

void TokenFile::read(int64_t begin, std::span<int64_t> out) const {
  if (begin < 0 || begin + static_cast<int64_t>(out.size()) > num_tokens_) {
    throw InternalError(
        fmt::format("{}: tokens {} to {} of {}", prefix_.string(), begin, begin + out.size(), num_tokens_));
  }
  const std::byte* from = tokens_.bytes().data() + begin * token_bytes(type_);
  switch (type_) {
    case TokenType::u8: return widen<uint8_t>(from, out);
    case TokenType::i8: return widen<int8_t>(from, out);
    case TokenType::i16: return widen<int16_t>(from, out);
    case TokenType::u16: return widen<uint16_t>(from, out);
    case TokenType::i32: return widen<int32_t>(from, out);
    case TokenType::i64: return widen<int64_t>(from, out);
  }
}

int64_t TokenFile::document_begin(int64_t document) const {
  if (document < 0 || document > num_documents_) {
    throw InternalError(fmt::format("{}: document {} of {}", prefix_.string(), document, num_documents_));
  }
  const auto index = index_.bytes();
  const auto sequence = load<int64_t>(index, kHeaderBytes + 12 * num_sequences_ + 8 * document);
  if (sequence == num_sequences_) return num_tokens_;
  return load<int64_t>(index, kHeaderBytes + 4 * num_sequences_ + 8 * sequence) / token_bytes(type_);
}

TokenFileWriter::TokenFileWriter(const std::filesystem::path& name, int64_t vocab_size)
    : prefix_(token_file_prefix(name)), type_(vocab_size < 65'500 ? TokenType::u16 : TokenType::i32) {
  if (prefix_.has_parent_path()) folder_ = std::make_unique<ProvisionalFolder>(prefix_.parent_path());
  aside_ = prefix_;
  aside_ += fmt::format(".tmp.{}", ::getpid());
  fd_ = ::open(aside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) throw IoError(fmt::format("{}: cannot create: {}", aside_.string(), std::strerror(errno)));
}

TokenFileWriter::~TokenFileWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(aside_.c_str());
}

void TokenFileWriter::add(std::span<const int32_t> ids) {
  if (type_ == TokenType::i32) {
    buffer_.append(reinterpret_cast<const char*>(ids.data()), ids.size_bytes());
  } else {
    for (const int32_t id : ids) append(buffer_, static_cast<uint16_t>(id));
  }
  open_document_ += static_cast<int64_t>(ids.size());
  num_tokens_ += static_cast<int64_t>(ids.size());
  if (open_document_ > INT32_MAX) {
    throw IoError(
        fmt::format("{}: a document of more than {} tokens. Split it.", prefix_.string(), INT32_MAX));
  }
  if (buffer_.size() > (size_t{1} << 20)) flush();
}

void TokenFileWriter::end_document() {
  sizes_.push_back(static_cast<int32_t>(open_document_));
  open_document_ = 0;
}

void TokenFileWriter::flush() {
  for (std::string_view left = buffer_; !left.empty();) {
    const ssize_t written = ::write(fd_, left.data(), left.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) refuse("write", static_cast<int64_t>(left.size()));
    left.remove_prefix(static_cast<size_t>(written));
    written_bytes_ += written;
  }
  buffer_.clear();
}

// Why the operation that has just failed did. What was written goes again, so its room counts as free.
void TokenFileWriter::refuse(const char* operation, int64_t more_bytes) const {
  const int reason = errno;
  if (reason != ENOSPC && reason != EDQUOT)
    throw IoError(fmt::format("{}: cannot {}: {}", aside_.string(), operation, std::strerror(reason)));
  throw NoSpace(with(prefix_, ".bin"), written_bytes_ + more_bytes,
                free_bytes(aside_.parent_path()) + written_bytes_);
}

void TokenFileWriter::finish() {
  if (open_document_ > 0) end_document();
  flush();
  if (::fsync(fd_) != 0) refuse("fsync", 0);
  std::string index(kMagic);
  append(index, uint64_t{1});
  append(index, type_);
  append(index, static_cast<uint64_t>(sizes_.size()));
  append(index, static_cast<uint64_t>(sizes_.size() + 1));
  for (const int32_t size : sizes_) append(index, size);
  int64_t offset = 0;
  for (const int32_t size : sizes_) {
    append(index, offset);
    offset += size * token_bytes(type_);
  }
  for (int64_t i = 0; i <= num_documents(); ++i) append(index, i);
  const auto index_bytes = static_cast<int64_t>(index.size());
  if (const int64_t free = free_bytes(aside_.parent_path()); free < index_bytes)
    throw NoSpace(with(prefix_, ".idx"), written_bytes_ + index_bytes, free + written_bytes_);
  std::filesystem::rename(aside_, with(prefix_, ".bin"));
  write_file_durably(with(prefix_, ".idx"), index);
  ::close(std::exchange(fd_, -1));
}

}  // namespace colossal::data
