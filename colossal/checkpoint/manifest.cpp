// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/manifest.h"

#include <chrono>

#include "colossal/base/error.h"
#include "colossal/checkpoint/piece_hash.h"

namespace colossal::checkpoint {
namespace {

constexpr const char* kFormat = "colossal-checkpoint";
constexpr int kUnsealedVersion = 1;  // without a hash over all of it

[[noreturn]] void reject(const std::filesystem::path& path, const std::string& what) {
  throw IoError(
      fmt::format("{}: {}. The checkpoint is damaged or was not written by Colossal.", path.string(), what),
      ExitCode::checkpoint);
}

void check_version(int version, const std::filesystem::path& path) {
  if (version == Manifest::kVersion || version == kUnsealedVersion) return;
  throw IoError(
      fmt::format(
          "{}: format version {}. This program reads versions {} and {}: use the program that wrote it.",
          path.string(), version, kUnsealedVersion, Manifest::kVersion),
      ExitCode::checkpoint);
}

// The end of a manifest: the hash of every byte before it. So that no byte of the file can change unnoticed, the end is compared as text.
std::string seal(std::string_view body) {
  return fmt::format(",\n \"xxh3\": \"{}\"\n}}\n", hash_bytes(body.data(), body.size()));
}

void check_seal(std::string_view text, const std::filesystem::path& path) {
  const size_t end = seal("").size();
  const std::string_view body = text.substr(0, text.size() - std::min(end, text.size()));
  if (text.substr(body.size()) == seal(body)) return;
  throw IoError(
      fmt::format("{}: does not match its hash: its bytes have changed since they were written. Use "
                  "an older checkpoint (`colossal checkpoint list`).",
                  path.string()),
      ExitCode::checkpoint);
}

int64_t numel(const tensor::Shape& shape) {
  int64_t n = 1;
  for (int64_t size : shape) n *= size;
  return n;
}

void check_pieces(const TensorEntry& entry, size_t num_files, const std::filesystem::path& path) {
  int64_t covered = 0;
  for (const Piece& piece : entry.pieces) {
    if (piece.file < 0 || static_cast<size_t>(piece.file) >= num_files)
      reject(path, fmt::format("tensor {} names file {} of {}", entry.name, piece.file, num_files));
    if (piece.slice.offset.size() != entry.shape.size() || piece.slice.size.size() != entry.shape.size())
      reject(path, fmt::format("tensor {} has a piece of another rank", entry.name));
    for (size_t d = 0; d < entry.shape.size(); ++d) {
      const int64_t offset = piece.slice.offset[d];
      const int64_t size = piece.slice.size[d];
      if (offset < 0 || size < 0 || size > entry.shape[d] || offset > entry.shape[d] - size)
        reject(path, fmt::format("tensor {} has a piece outside its shape", entry.name));
    }
    covered += numel(piece.slice.size);
  }
  if (covered != numel(entry.shape)) {
    reject(path, fmt::format("the pieces of tensor {} hold {} of its {} elements", entry.name, covered,
                             numel(entry.shape)));
  }
}

TensorEntry parse_tensor(const Json& json) {
  TensorEntry entry;
  entry.name = json.at("name").get<std::string>();
  entry.dtype = json.at("dtype").get<std::string>();
  entry.shape = json.at("shape").get<tensor::Shape>();
  entry.layout = json.value("layout", "");
  for (int64_t size : entry.shape) {
    if (size < 0 || size > (int64_t{1} << 40))
      throw nlohmann::json::out_of_range::create(401, "shape of " + entry.name, nullptr);
  }
  for (const Json& piece : json.at("pieces")) {
    entry.pieces.push_back({piece.at("file").get<int>(),
                            {piece.at("offset").get<tensor::Shape>(), piece.at("size").get<tensor::Shape>()},
                            piece.at("xxh3").get<std::string>()});
  }
  return entry;
}

}  // namespace

int64_t milliseconds_now() {
  const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(since_1970).count();
}

const TensorEntry* Manifest::find(const std::string& name) const {
  for (const TensorEntry& entry : tensors) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::string Manifest::dump() const {
  Json json = {{"format", kFormat},
               {"version", kVersion},
               {"step", step},
               {"written_at", written_at},
               {"world_size", world_size},
               {"mesh", mesh},
               {"colossal", colossal_version},
               {"torch", torch_version},
               {"state", state}};
  json["files"] = Json::array();
  for (const FileEntry& file : files) json["files"].push_back({{"name", file.name}, {"bytes", file.bytes}});
  json["tensors"] = Json::array();
  for (const TensorEntry& entry : tensors) {
    Json pieces = Json::array();
    for (const Piece& piece : entry.pieces) {
      pieces.push_back({{"file", piece.file},
                        {"offset", piece.slice.offset},
                        {"size", piece.slice.size},
                        {"xxh3", piece.hash}});
    }
    json["tensors"].push_back({{"name", entry.name},
                               {"dtype", entry.dtype},
                               {"shape", entry.shape},
                               {"layout", entry.layout},
                               {"pieces", std::move(pieces)}});
  }
  std::string text = json.dump(1);
  text.resize(text.size() - std::string_view("\n}").size());
  return text + seal(text);
}

Manifest Manifest::parse(const std::string& text, const std::filesystem::path& path) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) reject(path, "is not a JSON object");
  Manifest manifest;
  try {
    if (json.value("format", "") != kFormat) reject(path, fmt::format("has no \"format\": \"{}\"", kFormat));
    const int version = json.value("version", 0);
    check_version(version, path);
    if (version != kUnsealedVersion) check_seal(text, path);
    manifest.step = json.at("step").get<int64_t>();
    manifest.written_at = json.at("written_at").get<int64_t>();
    manifest.world_size = json.at("world_size").get<int>();
    manifest.mesh = json.at("mesh").get<std::string>();
    manifest.colossal_version = json.at("colossal").get<std::string>();
    manifest.torch_version = json.at("torch").get<std::string>();
    manifest.state = json.at("state");
    for (const Json& file : json.at("files"))
      manifest.files.push_back({file.at("name").get<std::string>(), file.at("bytes").get<int64_t>()});
    for (const Json& entry : json.at("tensors")) manifest.tensors.push_back(parse_tensor(entry));
  } catch (const nlohmann::json::exception& error) {
    reject(path, error.what());
  }
  for (const FileEntry& file : manifest.files) {
    if (file.name.empty() || file.name.find('/') != std::string::npos || file.name.front() == '.')
      reject(path, fmt::format("file name \"{}\" leaves the checkpoint folder", file.name));
  }
  for (const TensorEntry& entry : manifest.tensors) check_pieces(entry, manifest.files.size(), path);
  return manifest;
}

}  // namespace colossal::checkpoint
