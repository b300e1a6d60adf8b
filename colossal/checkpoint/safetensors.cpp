// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/safetensors.h"

#include <fcntl.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/slice_runs.h"

namespace colossal::checkpoint {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw IoError(fmt::format("{}: {}", path.string(), what), ExitCode::checkpoint);
}

[[noreturn]] void fail_errno(const std::filesystem::path& path, std::string_view what) {
  fail(path, fmt::format("cannot {}: {}", what, std::strerror(errno)));
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

void check_slice(const std::string& name, const Shape& shape, const Slice& slice) {
  bool inside = slice.offset.size() == shape.size() && slice.size.size() == shape.size();
  for (size_t d = 0; inside && d < shape.size(); ++d) {
    inside = slice.offset[d] >= 0 && slice.size[d] >= 0 && slice.size[d] <= shape[d] - slice.offset[d];
  }
  if (!inside) {
    throw ShapeError(fmt::format("tensor {}: slice [{}] at [{}] does not lie within [{}]",
                                 quoted_tensor_name(name), fmt::join(slice.size, ", "),
                                 fmt::join(slice.offset, ", "), fmt::join(shape, ", ")));
  }
}

}  // namespace

SafetensorsReader::SafetensorsReader(const std::filesystem::path& path)
    : file_(path), header_(parse_safetensors_header(file_.bytes(), path)) {
  index_.reserve(header_.tensors.size());
  for (size_t i = 0; i < header_.tensors.size(); ++i) index_.emplace(header_.tensors[i].name, i);
}

const TensorInfo& SafetensorsReader::info(const std::string& name) const {
  const auto found = index_.find(name);
  if (found != index_.end()) return header_.tensors[found->second];
  std::vector<std::string> names;
  for (const TensorInfo& tensor : header_.tensors) names.push_back(tensor.name);
  const auto near = nearest_spelling(name, names);
  fail(path(), fmt::format("no tensor {} among {}.{}", quoted_tensor_name(name), names.size(),
                           near ? fmt::format(" Did you mean {}?", quoted_tensor_name(*near)) : ""));
}

std::span<const std::byte> SafetensorsReader::bytes(const std::string& name) const {
  const TensorInfo& tensor = info(name);
  return file_.bytes().subspan(header_.data_begin + tensor.begin, tensor.end - tensor.begin);
}

at::Tensor SafetensorsReader::read(const std::string& name) const {
  const TensorInfo& tensor = info(name);
  const auto source = bytes(name);
  at::Tensor out = at::empty(tensor.shape, at::dtype(tensor.dtype));
  if (!source.empty()) std::memcpy(out.data_ptr(), source.data(), source.size());
  return out;
}

at::Tensor SafetensorsReader::read(const std::string& name, const Slice& slice) const {
  return read(name, info(name).shape, slice);
}

at::Tensor SafetensorsReader::read(const std::string& name, const Shape& view, const Slice& slice) const {
  const TensorInfo& tensor = info(name);
  if (c10::multiply_integers(view) != c10::multiply_integers(tensor.shape)) {
    throw ShapeError(fmt::format("tensor {}: [{}] cannot be seen as [{}]", quoted_tensor_name(name),
                                 fmt::join(tensor.shape, ", "), fmt::join(view, ", ")));
  }
  check_slice(name, view, slice);
  const auto source = bytes(name);
  const size_t item = c10::elementSize(tensor.dtype);
  at::Tensor out = at::empty(slice.size, at::dtype(tensor.dtype));
  std::byte* to = static_cast<std::byte*>(out.data_ptr());
  for_each_run(view, slice, [&](int64_t first, int64_t count) {
    std::memcpy(to, source.data() + first * item, count * item);
    to += count * item;
  });
  return out;
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata)
    : path_(path), aside_(path) {
  aside_ += fmt::format(".tmp.{}", ::getpid());
  const std::string head = format_safetensors_header(tensors, metadata);
  data_begin_ = head.size();
  uint64_t end = data_begin_;
  for (TensorInfo& tensor : tensors) {
    end = data_begin_ + tensor.end;
    order_.push_back(tensor.name);
    const auto [entry, inserted] = entries_.try_emplace(tensor.name);
    if (!inserted) fail(path, fmt::format("tensor {}: named twice", quoted_tensor_name(tensor.name)));
    entry->second.info = std::move(tensor);
  }
  fd_ = ::open(aside_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd_ < 0) fail_errno(aside_, "create");
  try {
    if (::ftruncate(fd_, static_cast<off_t>(end)) != 0) fail_errno(aside_, "size");
    write_at(0, std::as_bytes(std::span(head)));
  } catch (...) {
    ::close(fd_);
    ::unlink(aside_.c_str());
    throw;
  }
}

SafetensorsWriter::~SafetensorsWriter() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(aside_.c_str());
}

SafetensorsWriter::Entry& SafetensorsWriter::entry(const std::string& name) {
  const auto found = entries_.find(name);
  if (found == entries_.end()) fail(path_, fmt::format("tensor {}: not declared", quoted_tensor_name(name)));
  return found->second;
}

void SafetensorsWriter::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_errno(aside_, "write");
    offset += static_cast<uint64_t>(written);
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void SafetensorsWriter::write(const std::string& name, const at::Tensor& tensor) {
  const Shape& shape = entry(name).info.shape;
  write(name, Slice{Shape(shape.size(), 0), shape}, tensor);
}

void SafetensorsWriter::write(const std::string& name, const Slice& slice, const at::Tensor& piece) {
  Entry& target = entry(name);
  const TensorInfo& info = target.info;
  check_slice(name, info.shape, slice);
  if (piece.sizes() != at::IntArrayRef(slice.size) || piece.scalar_type() != info.dtype) {
    throw ShapeError(fmt::format("{}: tensor {}: got {} [{}], declared {} [{}]", path_.string(),
                                 quoted_tensor_name(name), c10::toString(piece.scalar_type()),
                                 fmt::join(piece.sizes(), ", "), c10::toString(info.dtype),
                                 fmt::join(slice.size, ", ")));
  }
  const at::Tensor source = piece.detach().to(at::kCPU).contiguous();
  const size_t item = c10::elementSize(info.dtype);
  const std::byte* from = static_cast<const std::byte*>(source.const_data_ptr());
  for_each_run(info.shape, slice, [&](int64_t first, int64_t count) {
    write_at(data_begin_ + info.begin + first * item, {from, count * item});
    from += count * item;
  });
  // The disk may begin while the caller prepares the next piece; close() makes sure of all of it.
  ::sync_file_range(fd_, static_cast<off_t>(data_begin_ + info.begin),
                    static_cast<off_t>(info.end - info.begin), SYNC_FILE_RANGE_WRITE);
  target.written += source.nbytes();
}

void SafetensorsWriter::close() {
  for (const std::string& name : order_) {
    const Entry& target = entries_.at(name);
    if (target.written != target.info.end - target.info.begin) {
      fail(path_, fmt::format("tensor {}: {} of {} bytes were written", quoted_tensor_name(name),
                              target.written.load(), target.info.end - target.info.begin));
    }
  }
  const int fd = std::exchange(fd_, -1);
  const bool synced = ::fsync(fd) == 0;
  if (::close(fd) != 0 || !synced) {
    ::unlink(aside_.c_str());
    fail_errno(path_, "fsync");
  }
  if (::rename(aside_.c_str(), path_.c_str()) != 0) fail_errno(path_, "rename");
  fsync_path(folder_of(path_));
}

}  // namespace colossal::checkpoint
