// SPDX-License-Identifier: Apache-2.0
// The weights of a model folder: one model.safetensors, or several with model.safetensors.index.json. Looks
// like one file.
//
//   SafetensorsSet weights("llama-7b");
//   at::Tensor w = weights.read("lm_head.weight", layout.slice(rank));
//
// Thread safety: a set is immutable and may be shared; a set writer takes writes of distinct pieces from
// several threads.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "colossal/checkpoint/safetensors.h"

namespace colossal::checkpoint {

class SafetensorsSet {
 public:
  // A folder, or a .safetensors file. Throws IoError: nothing there, an index that disagrees with its files,
  // damaged files.
  explicit SafetensorsSet(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const std::vector<std::string>& names() const { return names_; }  // sorted
  bool contains(const std::string& name) const { return files_.contains(name); }
  const TensorInfo& info(const std::string& name) const { return file(name).info(name); }
  at::Tensor read(const std::string& name) const { return file(name).read(name); }
  at::Tensor read(const std::string& name, const Slice& slice) const { return file(name).read(name, slice); }
  at::Tensor read(const std::string& name, const Shape& view, const Slice& slice) const {
    return file(name).read(name, view, slice);
  }
  std::span<const std::byte> bytes(const std::string& name) const { return file(name).bytes(name); }
  const std::vector<std::unique_ptr<SafetensorsReader>>& readers() const { return readers_; }

 private:
  void open_index(const std::filesystem::path& index);
  const SafetensorsReader& file(const std::string& name) const;

  std::filesystem::path path_;
  std::vector<std::unique_ptr<SafetensorsReader>> readers_;
  std::unordered_map<std::string, const SafetensorsReader*> files_;
  std::vector<std::string> names_;
};

struct SafetensorsSetOptions {
  uint64_t max_file_bytes = 5'000'000'000;  // of tensor data per file; one tensor is never cut
  std::map<std::string, std::string> metadata = {{"format", "pt"}};
};

// Writes model.safetensors, or model-00001-of-0000N.safetensors with the index when they do not fit one file.
class SafetensorsSetWriter {
 public:
  SafetensorsSetWriter(const std::filesystem::path& folder, const std::vector<TensorInfo>& tensors,
                       const SafetensorsSetOptions& options = {});
  void write(const std::string& name, const at::Tensor& tensor) { file(name).write(name, tensor); }
  void write(const std::string& name, const Slice& slice, const at::Tensor& piece) {
    file(name).write(name, slice, piece);
  }
  void close();  // all files, then the index

 private:
  SafetensorsWriter& file(const std::string& name) const;

  std::filesystem::path folder_;
  std::vector<std::unique_ptr<SafetensorsWriter>> writers_;
  std::map<std::string, std::pair<SafetensorsWriter*, std::string>> files_;  // tensor -> writer and file name
  uint64_t total_bytes_ = 0;
};

}  // namespace colossal::checkpoint
