// SPDX-License-Identifier: Apache-2.0
// The header of a safetensors file: which tensor of which dtype and shape lies at which bytes. Parsed
// strictly, written canonically.
//
//   SafetensorsHeader header = parse_safetensors_header(file.bytes(), path);
//   for (const TensorInfo& t : header.tensors) fmt::print("{} {}\n", t.name, t.end - t.begin);
//
// Format: 8 bytes little-endian header length, a JSON object, raw data;
// https://huggingface.co/docs/safetensors. Thread-safe: pure functions.
#pragma once
#include <c10/core/ScalarType.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "colossal/tensor/layout.h"

namespace colossal::checkpoint {

using tensor::Shape;

struct TensorInfo {
  std::string name = {};
  at::ScalarType dtype = at::ScalarType::Float;
  Shape shape = {};
  uint64_t begin = 0;  // bytes within the data section
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<TensorInfo> tensors;              // by offset
  std::map<std::string, std::string> metadata;  // the optional "__metadata__"
  uint64_t data_begin = 0;                      // bytes from the start of the file
};

// Longest header that is read (the reference implementation's limit).
constexpr uint64_t kMaxHeaderBytes = 100'000'000;

// "F32", "BF16", "F8_E4M3", ... Throws IoError for a torch dtype without a safetensors name.
std::string_view safetensors_dtype_name(at::ScalarType dtype);

// Checks everything: header length, JSON, keys, duplicates, dtypes, shapes, sizes, and that the tensors cover
// the data section without hole, overlap or rest. `file` is the whole file; `path` is for messages. Throws
// IoError naming path and tensor.
SafetensorsHeader parse_safetensors_header(std::span<const std::byte> file,
                                           const std::filesystem::path& path);

// Lays the tensors out in the order in which they are written, widest dtype first so that each is aligned to
// its item, and fills in begin and end. Returns the first bytes of the file: length and JSON, padded with
// spaces to a multiple of 8.
std::string format_safetensors_header(std::vector<TensorInfo>& tensors,
                                      const std::map<std::string, std::string>& metadata);

// A name as it appears in messages: quoted, escaped, shortened.
std::string quoted_tensor_name(std::string_view name);

}  // namespace colossal::checkpoint
