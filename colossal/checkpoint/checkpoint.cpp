// SPDX-License-Identifier: Apache-2.0
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <fmt/ranges.h>

#include <cstring>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/checkpoint/piece_hash.h"
#include "colossal/checkpoint/safetensors.h"
#include "colossal/checkpoint/store.h"

namespace colossal::checkpoint {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kAdvice = " Use an older checkpoint (`colossal checkpoint list`).";

[[noreturn]] void damaged(const fs::path& path, const std::string& what) {
  throw IoError(fmt::format("{}: {}.{}", path.string(), what, kAdvice), ExitCode::checkpoint);
}

Manifest open_manifest(const fs::path& folder) {
  const fs::path path = folder / "manifest.json";
  if (!fs::is_directory(folder)) damaged(folder, "there is no such checkpoint folder");
  if (!fs::exists(path)) damaged(folder, "has no manifest.json, so it is not a complete checkpoint");
  Manifest manifest = Manifest::parse(read_file(path), path);
  for (const FileEntry& file : manifest.files) {
    const fs::path name = folder / file.name;
    if (!fs::is_regular_file(name)) damaged(name, "is missing");
    if (const auto bytes = static_cast<int64_t>(fs::file_size(name)); bytes != file.bytes)
      damaged(name, fmt::format("holds {} bytes, {} were written", bytes, file.bytes));
  }
  return manifest;
}

// A piece of a tensor as the manifest tells it, checked against the file that holds it.
struct OpenPiece {
  const SafetensorsReader& file;
  const TensorEntry& entry;
  const Piece& piece;

  void check() const {
    check_declared();
    const auto bytes = file.bytes(entry.name);
    check_hash(hash_bytes(bytes.data(), bytes.size()));
  }

  // The whole piece, hashed block by block where it was just copied to: its bytes come from memory once.
  void copy_checked(std::byte* to) const {
    constexpr size_t kBlock = size_t{256} << 10;
    check_declared();
    auto bytes = file.bytes(entry.name);
    PieceHash hash;
    while (!bytes.empty()) {
      const auto block = bytes.first(std::min(kBlock, bytes.size()));
      std::memcpy(to, block.data(), block.size());
      hash.add(to, block.size());
      to += block.size();
      bytes = bytes.subspan(block.size());
    }
    check_hash(hash.text());
  }

 private:
  void check_declared() const {
    if (!file.contains(entry.name)) damaged(file.path(), fmt::format("tensor {} is missing", entry.name));
    const TensorInfo& info = file.info(entry.name);
    if (safetensors_dtype_name(info.dtype) != entry.dtype || info.shape != piece.slice.size)
      damaged(file.path(),
              fmt::format("tensor {} has another dtype or shape than manifest.json says", entry.name));
    file.announce(entry.name);
  }
  void check_hash(const std::string& hash) const {
    if (hash != piece.hash)
      damaged(file.path(),
              fmt::format("tensor {} does not match its hash: its bytes have changed since they were written",
                          entry.name));
  }
};

// The part that two slices share; false when none.
bool intersect(const tensor::Slice& a, const tensor::Slice& b, tensor::Slice& both) {
  both = a;
  for (size_t d = 0; d < a.offset.size(); ++d) {
    both.offset[d] = std::max(a.offset[d], b.offset[d]);
    both.size[d] = std::min(a.offset[d] + a.size[d], b.offset[d] + b.size[d]) - both.offset[d];
    if (both.size[d] <= 0) return false;
  }
  return true;
}

tensor::Slice relative_to(tensor::Slice slice, const tensor::Slice& origin) {
  for (size_t d = 0; d < slice.offset.size(); ++d) slice.offset[d] -= origin.offset[d];
  return slice;
}

at::Tensor narrowed(at::Tensor x, const tensor::Slice& slice) {
  for (size_t d = 0; d < slice.offset.size(); ++d)
    x = x.narrow(static_cast<int64_t>(d), slice.offset[d], slice.size[d]);
  return x;
}

}  // namespace

std::string damage_alone(const std::string& message) { return message.substr(0, message.find(kAdvice)); }

Checkpoint::Checkpoint(const fs::path& folder) : folder_(folder), manifest_(open_manifest(folder)) {}

const SafetensorsReader& Checkpoint::file(int index) const {
  std::lock_guard lock(files_->mutex);
  auto& reader = files_->readers[index];
  if (!reader) {
    try {
      reader = std::make_unique<SafetensorsReader>(folder_ / manifest_.files[index].name);
    } catch (const IoError& error) {
      throw IoError(error.what(), ExitCode::checkpoint);
    }
  }
  return *reader;
}

const TensorEntry& Checkpoint::entry(const std::string& name, const tensor::Layout& layout) const {
  const TensorEntry* entry = manifest_.find(name);
  if (entry == nullptr) damaged(folder_ / "manifest.json", fmt::format("holds no tensor {}", name));
  if (entry->shape != layout.shape()) {
    throw IoError(
        fmt::format(
            "{}: tensor {} has shape [{}], this model has [{}]. The model of the run file and that of the "
            "checkpoint differ.",
            folder_.string(), name, fmt::join(entry->shape, ", "), fmt::join(layout.shape(), ", ")),
        ExitCode::checkpoint);
  }
  return *entry;
}

at::Tensor Checkpoint::read(const std::string& name, const tensor::Layout& layout, int rank) const {
  const TensorEntry& found = entry(name, layout);
  const tensor::Slice wanted = layout.slice(rank);
  const tensor::Shape shape = layout.local_shape();
  const bool all_logical = wanted.size == shape;
  at::Tensor out;
  for (const Piece& piece : found.pieces) {
    tensor::Slice both;
    if (!intersect(wanted, piece.slice, both)) continue;
    const SafetensorsReader& reader = file(piece.file);
    OpenPiece{reader, found, piece}.check();
    if (both == wanted && piece.slice == wanted && all_logical) return reader.read(name);
    const at::TensorOptions options = at::dtype(reader.info(name).dtype);
    if (!out.defined()) out = all_logical ? at::empty(shape, options) : at::zeros(shape, options);
    narrowed(out, relative_to(both, wanted)).copy_(reader.read(name, relative_to(both, piece.slice)));
  }
  if (!out.defined() && !found.pieces.empty() && c10::multiply_integers(wanted.size) == 0)
    out = at::zeros(shape, at::dtype(file(found.pieces.front().file).info(name).dtype));
  if (!out.defined()) damaged(folder_ / "manifest.json", fmt::format("tensor {} lacks a piece", name));
  return out;
}

void Checkpoint::read_into(const NamedTensor& target, int rank) const {
  const TensorEntry& found = entry(target.name, target.layout);
  const std::string_view dtype = safetensors_dtype_name(target.local.scalar_type());
  if (found.dtype != dtype) {
    throw IoError(
        fmt::format(
            "{}: tensor {} is stored as {}, this run keeps it as {}. Set the precision the checkpoint was "
            "written with.",
            folder_.string(), target.name, found.dtype, dtype),
        ExitCode::checkpoint);
  }
  at::NoGradGuard no_grad;
  const tensor::Slice wanted = target.layout.slice(rank);
  const auto same = std::find_if(found.pieces.begin(), found.pieces.end(),
                                 [&](const Piece& piece) { return piece.slice == wanted; });
  const bool all_logical = wanted.size == target.layout.local_shape();
  if (same != found.pieces.end() && all_logical && target.local.is_cpu() && target.local.is_contiguous()) {
    OpenPiece{file(same->file), found, *same}.copy_checked(
        static_cast<std::byte*>(target.local.mutable_data_ptr()));
    target.local.unsafeGetTensorImpl()->bump_version();
    return;
  }
  target.local.copy_(read(target.name, target.layout, rank).view(target.local.sizes()));
}

void Checkpoint::verify(int index, int count) const {
  int number = 0;
  for (const TensorEntry& entry : manifest_.tensors) {
    for (const Piece& piece : entry.pieces) {
      if (number++ % count == index) OpenPiece{file(piece.file), entry, piece}.check();
    }
  }
}

}  // namespace colossal::checkpoint
