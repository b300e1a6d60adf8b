// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/byte_source.h"

#include <zlib.h>
#include <zstd.h>

#include <cstring>
#include <fstream>

#include "colossal/base/error.h"

namespace colossal::data {
namespace {

constexpr size_t kChunk = size_t{1} << 20;

class PlainSource : public ByteSource {
 public:
  explicit PlainSource(const std::filesystem::path& file)
      : file_(file.string()), in_(file, std::ios::binary) {
    if (!in_) throw IoError(fmt::format("{}: cannot open: {}", file_, std::strerror(errno)));
  }
  bool read(std::string& buffer) override {
    const size_t before = buffer.size();
    buffer.resize(before + kChunk);
    in_.read(buffer.data() + before, kChunk);
    if (in_.bad()) throw IoError(fmt::format("{}: cannot read: {}", file_, std::strerror(errno)));
    buffer.resize(before + static_cast<size_t>(in_.gcount()));
    return in_.gcount() > 0;
  }

 private:
  std::string file_;
  std::ifstream in_;
};

class GzipSource : public ByteSource {
 public:
  explicit GzipSource(const std::filesystem::path& file)
      : file_(file.string()), in_(gzopen(file.c_str(), "rb")) {
    if (in_ == nullptr) throw IoError(fmt::format("{}: cannot open: {}", file_, std::strerror(errno)));
    gzbuffer(in_, 1 << 17);
  }
  ~GzipSource() override { gzclose(in_); }
  bool read(std::string& buffer) override {
    const size_t before = buffer.size();
    buffer.resize(before + kChunk);
    const int count = gzread(in_, buffer.data() + before, kChunk);
    int status = Z_OK;
    const char* text = gzerror(in_, &status);
    // A stream that stops early is data and then Z_BUF_ERROR; bytes that are no gzip at all would pass
    // unchanged.
    if (count < 0 || (status != Z_OK && status != Z_STREAM_END)) {
      throw IoError(fmt::format("{}: damaged or truncated gzip file ({}).", file_,
                                status == Z_BUF_ERROR ? "ends early" : text));
    }
    if (gzdirect(in_) && count > 0) throw IoError(fmt::format("{}: is not a gzip file.", file_));
    buffer.resize(before + static_cast<size_t>(count));
    return count > 0;
  }

 private:
  std::string file_;
  gzFile in_;
};

class ZstdSource : public ByteSource {
 public:
  explicit ZstdSource(const std::filesystem::path& file)
      : file_(file.string()), packed_(file), stream_(ZSTD_createDStream()) {}
  ~ZstdSource() override { ZSTD_freeDStream(stream_); }
  bool read(std::string& buffer) override {
    const size_t before = buffer.size();
    buffer.resize(before + kChunk);
    ZSTD_outBuffer out{buffer.data() + before, kChunk, 0};
    while (out.pos < out.size) {
      if (at_ == input_.size()) {
        input_.clear();
        at_ = 0;
        if (!packed_.read(input_)) {
          if (!frame_done_)
            throw IoError(fmt::format("{}: damaged or truncated zstd file (ends early).", file_));
          break;
        }
      }
      ZSTD_inBuffer in{input_.data(), input_.size(), at_};
      const size_t status = ZSTD_decompressStream(stream_, &out, &in);
      if (ZSTD_isError(status)) {
        throw IoError(
            fmt::format("{}: damaged or truncated zstd file ({}).", file_, ZSTD_getErrorName(status)));
      }
      at_ = in.pos;
      frame_done_ = status == 0;
    }
    buffer.resize(before + out.pos);
    return out.pos > 0;
  }

 private:
  std::string file_;
  PlainSource packed_;
  ZSTD_DStream* stream_;
  std::string input_;
  size_t at_ = 0;
  bool frame_done_ = true;
};

}  // namespace

std::unique_ptr<ByteSource> ByteSource::open(const std::filesystem::path& file) {
  if (file.extension() == ".gz") return std::make_unique<GzipSource>(file);
  if (file.extension() == ".zst") return std::make_unique<ZstdSource>(file);
  return std::make_unique<PlainSource>(file);
}

}  // namespace colossal::data
