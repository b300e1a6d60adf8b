// SPDX-License-Identifier: Apache-2.0
// The bytes of a file, unpacked on the way when its name ends in .gz or .zst.
//
//   auto source = ByteSource::open("corpus.txt.zst");
//   while (source->read(buffer)) { ... }          // appends to buffer
//
// Not thread-safe: one reader.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

namespace colossal::data {

class ByteSource {
 public:
  static std::unique_ptr<ByteSource> open(const std::filesystem::path& file);
  virtual ~ByteSource() = default;
  // Appends the next bytes; false at the end. IoError that names the file when it is damaged or truncated.
  virtual bool read(std::string& buffer) = 0;
};

}  // namespace colossal::data
