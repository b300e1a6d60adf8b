// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

namespace colossal {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, std::string_view what) {
  throw IoError(fmt::format("{}: cannot {}: {}", path.string(), what, std::strerror(errno)));
}

}  // namespace

std::string read_file(const std::filesystem::path& path) {
  if (std::filesystem::is_directory(path))
    throw IoError(fmt::format("{}: is a folder, not a file", path.string()));
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path, "open");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) fail(path, "read");
  return std::move(text).str();
}

void create_folders(const std::filesystem::path& path, std::string_view advice, ExitCode code) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (!error) return;
  throw IoError(fmt::format("{}: cannot create this folder: {}{}{}", path.string(), error.message(),
                            advice.empty() ? "" : ". ", advice),
                code);
}

ProvisionalFolder::ProvisionalFolder(const std::filesystem::path& path, std::string_view advice,
                                     ExitCode code) {
  std::error_code ignored;
  for (std::filesystem::path at = path; !at.empty() && !std::filesystem::exists(at, ignored);
       at = at.parent_path())
    made_.push_back(at);
  create_folders(path, advice, code);
}

ProvisionalFolder::~ProvisionalFolder() {
  std::error_code stays;  // one that is not empty does, and so do those above it
  for (const std::filesystem::path& folder : made_) std::filesystem::remove(folder, stays);
}

void fsync_path(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path, "open");
  const int status = ::fsync(fd);
  ::close(fd);
  if (status != 0) fail(path, "fsync");
}

void write_file_durably(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path aside = path;
  aside += fmt::format(".tmp.{}", ::getpid());
  const int fd = ::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) fail(path, "create");
  while (!content.empty()) {
    const ssize_t written = ::write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int cause = errno;
      ::close(fd);
      ::unlink(aside.c_str());
      errno = cause;
      fail(path, "write");
    }
    content.remove_prefix(static_cast<size_t>(written));
  }
  if (::fsync(fd) != 0 || ::close(fd) != 0) fail(path, "fsync");
  if (::rename(aside.c_str(), path.c_str()) != 0) fail(path, "rename");
  fsync_path(path.has_parent_path() ? path.parent_path() : std::filesystem::path("."));
}

MappedFile::MappedFile(const std::filesystem::path& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path, "open");
  struct stat info {};
  if (::fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(fd);
    throw IoError(fmt::format("{}: not a regular file", path.string()));
  }
  size_ = static_cast<size_t>(info.st_size);
  if (size_ > 0) {
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address == MAP_FAILED) {
      ::close(fd);
      fail(path, "map");
    }
    data_ = static_cast<const std::byte*>(address);
  }
  ::close(fd);
}

void MappedFile::announce(std::span<const std::byte> part) const noexcept {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = static_cast<size_t>(part.data() - data_) / page * page;
  const size_t end = static_cast<size_t>(part.data() + part.size() - data_);
  if (end > begin) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, MADV_WILLNEED);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

}  // namespace colossal
