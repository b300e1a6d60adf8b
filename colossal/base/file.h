// SPDX-License-Identifier: Apache-2.0
// Files: whole reads, durable writes, read-only memory maps. All failures are IoError and name the path.
//
//   MappedFile file(path);
//   std::span<const std::byte> bytes = file.bytes();
//
// Thread-safe: distinct objects may be used from distinct threads; a MappedFile is immutable.
#pragma once
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "colossal/base/error.h"

namespace colossal {

// The whole file as text.
std::string read_file(const std::filesystem::path& path);

// Writes aside, fsyncs, renames over `path`, fsyncs the folder: after a crash the old or the new content is there, whole.
void write_file_durably(const std::filesystem::path& path, std::string_view content);

// Makes a folder and those above it; nothing when it is there. `advice` is added to the error.
void create_folders(const std::filesystem::path& path, std::string_view advice = "",
                    ExitCode code = ExitCode::data);

// The same for a folder that may turn out not to be needed: those that were made are removed at the end where they are empty.
class ProvisionalFolder {
 public:
  explicit ProvisionalFolder(const std::filesystem::path& path, std::string_view advice = "",
                             ExitCode code = ExitCode::data);
  ~ProvisionalFolder();
  ProvisionalFolder(const ProvisionalFolder&) = delete;
  ProvisionalFolder& operator=(const ProvisionalFolder&) = delete;

  bool is_new() const { return !made_.empty(); }

 private:
  std::vector<std::filesystem::path> made_;  // innermost first
};

// fsync of a file or a folder that was already written.
void fsync_path(const std::filesystem::path& path);

// A read-only memory map of a whole file. Empty files map to an empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // A part of bytes() that will be read soon: the disk begins to fetch it, all at once. Only advice.
  void announce(std::span<const std::byte> part) const noexcept;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace colossal
