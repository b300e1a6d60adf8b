// SPDX-License-Identifier: Apache-2.0
// Reads and writes single safetensors files: a memory map in, a stream out.
//
//   SafetensorsReader file("model.safetensors");
//   at::Tensor w = file.read("wte.weight");                       // or read("wte.weight", layout.slice(rank))
//   SafetensorsWriter out("copy.safetensors", {{.name = "w", .dtype = at::kFloat, .shape = {3, 4}}});
//   out.write("w", w);
//   out.close();                                                  // appears under its name only now, whole and on disk
//
// Thread safety: a reader is immutable and may be shared; a writer takes writes of distinct pieces from
// several threads.
#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "colossal/base/file.h"
#include "colossal/checkpoint/safetensors_header.h"

namespace colossal::checkpoint {

using tensor::Slice;

class SafetensorsReader {
 public:
  // Maps the file and checks all of its header. Throws IoError naming file and tensor.
  explicit SafetensorsReader(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return file_.path(); }
  const std::vector<TensorInfo>& tensors() const { return header_.tensors; }  // by offset
  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  bool contains(const std::string& name) const { return index_.contains(name); }
  // Throws IoError with the nearest name when there is no such tensor.
  const TensorInfo& info(const std::string& name) const;

  // The bytes in the map, valid while the reader lives.
  std::span<const std::byte> bytes(const std::string& name) const;
  // All of its bytes will be wanted soon: the disk may begin.
  void announce(const std::string& name) const { file_.announce(bytes(name)); }
  // A copy on the CPU in the file's dtype; with a slice, of that part only (no other page is touched).
  at::Tensor read(const std::string& name) const;
  at::Tensor read(const std::string& name, const Slice& slice) const;
  // The slice of the tensor seen as `view`, another shape of as many elements: [3, heads, d, h] of a file's [3 * heads * d, h].
  at::Tensor read(const std::string& name, const Shape& view, const Slice& slice) const;

 private:
  MappedFile file_;
  SafetensorsHeader header_;
  std::unordered_map<std::string, size_t> index_;
};

class SafetensorsWriter {
 public:
  // begin and end of the infos are chosen here. Names must be distinct. Creates a file beside `path`.
  SafetensorsWriter(const std::filesystem::path& path, std::vector<TensorInfo> tensors,
                    const std::map<std::string, std::string>& metadata = {});
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;
  ~SafetensorsWriter();  // without close(): nothing is left behind

  // `tensor`: shape and dtype as declared (ShapeError), any device and strides. Any order, each element once.
  void write(const std::string& name, const at::Tensor& tensor);
  void write(const std::string& name, const Slice& slice, const at::Tensor& piece);
  // Throws IoError naming a tensor that is not complete. Otherwise fsyncs and renames to `path`.
  void close();

 private:
  struct Entry {
    TensorInfo info;
    std::atomic<uint64_t> written{0};
  };
  Entry& entry(const std::string& name);
  void write_at(uint64_t offset, std::span<const std::byte> bytes);

  std::filesystem::path path_;
  std::filesystem::path aside_;
  int fd_ = -1;
  uint64_t data_begin_ = 0;
  std::unordered_map<std::string, Entry> entries_;
  std::vector<std::string> order_;
};

}  // namespace colossal::checkpoint
