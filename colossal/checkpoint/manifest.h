// SPDX-License-Identifier: Apache-2.0
// manifest.json of a checkpoint: which logical tensors there are, which file holds which piece of them, and the state of the run.
//
//   Manifest manifest = Manifest::parse(read_file(dir / "manifest.json"), dir / "manifest.json");
//
// Layout-free: a tensor is (name, dtype, logical shape) and pieces at offsets; any mesh can read what any other wrote.
// Thread-safe: a value.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/tensor/layout.h"

namespace colossal::checkpoint {

struct Piece {
  int file = 0;         // index into Manifest::files
  tensor::Slice slice;  // of the logical tensor
  std::string hash;     // XXH3-64 of the bytes, hexadecimal
};

struct TensorEntry {
  std::string name;     // also the key in the safetensors files
  std::string dtype;    // safetensors spelling, "F32"
  tensor::Shape shape;  // logical
  std::string layout;   // how it lay when it was written, for people
  std::vector<Piece> pieces;
};

struct FileEntry {
  std::string name;
  int64_t bytes = 0;
};

// The clock of Manifest::written_at: milliseconds since 1970.
int64_t milliseconds_now();

struct Manifest {
  static constexpr int kVersion = 2;

  int64_t step = 0;
  int64_t written_at = 0;  // milliseconds since 1970: checkpoints are ordered by it, whatever their steps
  int world_size = 1;
  std::string mesh;
  std::string torch_version;
  std::string colossal_version;
  Json state;  // data position, seeds, scaler, schedule, resolved config: whatever the trainer needs to go on
  std::vector<FileEntry> files;
  std::vector<TensorEntry> tensors;

  const TensorEntry* find(const std::string& name) const;

  // Ends with the hash of all that stands before.
  std::string dump() const;
  // IoError naming `path` and the key for a damaged, foreign or newer manifest, or pieces that do not tile a tensor. Version 1, which has
  // no hash of its own, is read too.
  static Manifest parse(const std::string& text, const std::filesystem::path& path);
};

}  // namespace colossal::checkpoint
