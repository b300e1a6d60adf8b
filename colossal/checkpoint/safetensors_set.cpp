// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/safetensors_set.h"

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/base/text.h"

namespace colossal::checkpoint {
namespace {

constexpr const char* kSingleFile = "model.safetensors";
constexpr const char* kIndexFile = "model.safetensors.index.json";

[[noreturn]] void broken_set(const std::filesystem::path& path, const std::string& what) {
  throw IoError(fmt::format("{}: {}", path.string(), what), ExitCode::checkpoint);
}

// weight_map of the index: tensor -> file name, which must be a plain name beside the index.
std::map<std::string, std::string> read_weight_map(const std::filesystem::path& index) {
  const Json json = Json::parse(read_file(index), nullptr, false);
  if (json.is_discarded() || !json.is_object()) broken_set(index, "is not a JSON object");
  const auto found = json.find("weight_map");
  if (found == json.end() || !found->is_object()) broken_set(index, "has no object weight_map");
  std::map<std::string, std::string> files;
  for (const auto& [name, file] : found->items()) {
    if (!file.is_string())
      broken_set(index, fmt::format("tensor {}: its file is not a string", quoted_tensor_name(name)));
    const std::string text = file.get<std::string>();
    if (text.empty() || text == "." || text == ".." || text.find('/') != std::string::npos ||
        text.find('\0') != std::string::npos) {
      broken_set(index, fmt::format("tensor {}: file {} is not the name of a file in this folder",
                                    quoted_tensor_name(name), quoted_tensor_name(text)));
    }
    files[name] = text;
  }
  return files;
}

}  // namespace

SafetensorsSet::SafetensorsSet(const std::filesystem::path& path) : path_(path) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(path, ignored)) {
    readers_.push_back(std::make_unique<SafetensorsReader>(path));
  } else if (std::filesystem::exists(path / kIndexFile, ignored)) {
    open_index(path / kIndexFile);
  } else if (std::filesystem::exists(path / kSingleFile, ignored)) {
    readers_.push_back(std::make_unique<SafetensorsReader>(path / kSingleFile));
  } else {
    broken_set(path, fmt::format("holds neither {} nor {}", kSingleFile, kIndexFile));
  }
  for (const auto& reader : readers_) {
    for (const TensorInfo& tensor : reader->tensors()) {
      if (!files_.emplace(tensor.name, reader.get()).second) {
        broken_set(reader->path(), fmt::format("tensor {}: also in {}", quoted_tensor_name(tensor.name),
                                               files_.at(tensor.name)->path().filename().string()));
      }
      names_.push_back(tensor.name);
    }
  }
  std::sort(names_.begin(), names_.end());
}

void SafetensorsSet::open_index(const std::filesystem::path& index) {
  const std::map<std::string, std::string> files = read_weight_map(index);
  std::map<std::string, const SafetensorsReader*> by_file;
  for (const auto& [name, file] : files) {
    const SafetensorsReader*& reader = by_file[file];
    if (!reader) reader = readers_.emplace_back(std::make_unique<SafetensorsReader>(path_ / file)).get();
    if (!reader->contains(name)) {
      broken_set(reader->path(), fmt::format("tensor {}: is missing, {} says it is here",
                                             quoted_tensor_name(name), kIndexFile));
    }
  }
  for (const auto& reader : readers_) {
    for (const TensorInfo& tensor : reader->tensors()) {
      if (!files.contains(tensor.name)) {
        broken_set(reader->path(),
                   fmt::format("tensor {}: is not in {}", quoted_tensor_name(tensor.name), kIndexFile));
      }
    }
  }
}

const SafetensorsReader& SafetensorsSet::file(const std::string& name) const {
  const auto found = files_.find(name);
  if (found != files_.end()) return *found->second;
  const auto near = nearest_spelling(name, names_);
  broken_set(path_, fmt::format("no tensor {} among {}.{}", quoted_tensor_name(name), names_.size(),
                                near ? fmt::format(" Did you mean {}?", quoted_tensor_name(*near)) : ""));
}

SafetensorsSetWriter::SafetensorsSetWriter(const std::filesystem::path& folder,
                                           const std::vector<TensorInfo>& tensors,
                                           const SafetensorsSetOptions& options)
    : folder_(folder) {
  std::vector<std::vector<TensorInfo>> groups(1);
  uint64_t filled = 0;
  for (const TensorInfo& tensor : tensors) {
    uint64_t bytes = c10::elementSize(tensor.dtype);
    for (const int64_t size : tensor.shape) bytes *= static_cast<uint64_t>(size);
    if (!groups.back().empty() && filled + bytes > options.max_file_bytes) {
      groups.emplace_back();
      filled = 0;
    }
    groups.back().push_back(tensor);
    filled += bytes;
    total_bytes_ += bytes;
  }
  for (size_t i = 0; i < groups.size(); ++i) {
    const std::string file = groups.size() == 1
                                 ? kSingleFile
                                 : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, groups.size());
    auto writer = std::make_unique<SafetensorsWriter>(folder / file, groups[i], options.metadata);
    for (const TensorInfo& tensor : groups[i]) {
      if (!files_.try_emplace(tensor.name, writer.get(), file).second) {
        broken_set(folder / file, fmt::format("tensor {}: named twice", quoted_tensor_name(tensor.name)));
      }
    }
    writers_.push_back(std::move(writer));
  }
}

SafetensorsWriter& SafetensorsSetWriter::file(const std::string& name) const {
  const auto found = files_.find(name);
  if (found == files_.end())
    broken_set(folder_, fmt::format("tensor {}: not declared", quoted_tensor_name(name)));
  return *found->second.first;
}

void SafetensorsSetWriter::close() {
  for (const auto& writer : writers_) writer->close();
  if (writers_.size() == 1) return;
  Json index = {{"metadata", {{"total_size", total_bytes_}}}, {"weight_map", Json::object()}};
  for (const auto& [name, where] : files_) index["weight_map"][name] = where.second;
  write_file_durably(folder_ / kIndexFile, index.dump(2) + "\n");
}

}  // namespace colossal::checkpoint
