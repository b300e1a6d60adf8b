// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/huggingface.h"

#include <fmt/ranges.h>

#include <cstring>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/read_json.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/foreign_layout.h"
#include "colossal/comm/collectives.h"
#include "colossal/models/family.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::checkpoint {
namespace {

constexpr size_t kMostListed = 20;  // of each kind of problem

Json read_config(const std::filesystem::path& path) {
  Json json = read_json(path);
  if (!json.is_object()) throw ConfigError(fmt::format("{}: is not a JSON object", path.string()));
  if (!json.contains("model_type") || !json["model_type"].is_string()) {
    throw ConfigError(fmt::format("{}: has no model_type", path.string()));
  }
  return json;
}

models::ModelConfig to_config(const Json& json, const std::string& where) {
  return models::foreign_family(json["model_type"].get<std::string>(), where).foreign.read(json, where);
}

// Collects tensors that do not fit and lists them in one error.
class Problems {
 public:
  void add(const std::string& kind, const std::string& what) { found_[kind].push_back(what); }
  void finish(const std::filesystem::path& path) const {
    if (found_.empty()) return;
    std::string text = fmt::format("{}: the weights do not fit config.json", path.string());
    for (const auto& [kind, list] : found_) {
      for (size_t i = 0; i < std::min(list.size(), kMostListed); ++i)
        text += fmt::format("\n  {}: {}", kind, list[i]);
      if (list.size() > kMostListed) text += fmt::format("\n  {}: {} more", kind, list.size() - kMostListed);
    }
    throw IoError(text, ExitCode::checkpoint);
  }

 private:
  std::map<std::string, std::vector<std::string>> found_;
};

std::string without_prefix(const std::string& name, const std::string& prefix) {
  return name.starts_with(prefix) ? name.substr(prefix.size()) : name;
}

bool ends_with_any(const std::string& name, const std::vector<std::string>& endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](const std::string& ending) { return name.ends_with(ending); });
}

std::string_view dtype_text(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble: return "float64";
    case at::kHalf: return "float16";
    case at::kBFloat16: return "bfloat16";
    default: return "float32";
  }
}

// Rank 0's part of saving: the first failure is kept, and told to all at the end.
class Exporter {
 public:
  Exporter(const std::filesystem::path& folder, const HuggingFaceSaveOptions& options)
      : folder_(folder), options_(options) {}

  template <class Action>
  void attempt(const Action& action) {
    if (!error_.empty()) return;
    try {
      action();
    } catch (const Error& error) {
      error_ = error.what();
    }
  }
  void start(const models::ForeignWeights& mapping, const std::string& prefix) {
    std::vector<TensorInfo> infos;
    for (const models::ForeignTensor& foreign : mapping.tensors) {
      names_[foreign.name] = {options_.with_prefix ? foreign.name : without_prefix(foreign.name, prefix)};
    }
    for (const auto& [name, same_as] : mapping.repeated) {
      if (std::find(options_.repeated.begin(), options_.repeated.end(), name) != options_.repeated.end()) {
        names_[same_as].push_back(name);
      }
    }
    for (const models::ForeignTensor& foreign : mapping.tensors) {
      for (const std::string& name : names_[foreign.name]) {
        infos.push_back({.name = name, .dtype = dtype_of(name), .shape = foreign.shape});
      }
    }
    create_folders(folder_);
    writer_ = std::make_unique<SafetensorsSetWriter>(
        folder_, infos, SafetensorsSetOptions{.max_file_bytes = options_.max_file_bytes});
  }
  void write(const models::ForeignTensor& foreign, const at::Tensor& full) {
    const at::Tensor stored = to_foreign(full, foreign);
    for (const std::string& name : names_.at(foreign.name)) writer_->write(name, stored.to(dtype_of(name)));
  }
  void finish(const Json& config) {
    writer_->close();
    write_file_durably(folder_ / "config.json", config.dump(2) + "\n");
  }
  const std::string& error() const { return error_; }

 private:
  at::ScalarType dtype_of(const std::string& name) const {
    const auto found = options_.dtypes.find(name);
    return found == options_.dtypes.end() ? options_.dtype : found->second;
  }

  std::filesystem::path folder_;
  const HuggingFaceSaveOptions& options_;
  std::map<std::string, std::vector<std::string>> names_;  // mapping's name -> names in the files
  std::unique_ptr<SafetensorsSetWriter> writer_;
  std::string error_;
};

}  // namespace

HuggingFaceFolder::HuggingFaceFolder(const std::filesystem::path& path)
    : path_(path),
      json_(read_config(path / "config.json")),
      config_(to_config(json_, (path / "config.json").string())),
      mapping_(models::family(config_.family).foreign.weights(config_)),
      weights_(path) {
  const std::string& first = mapping_.tensors.front().name;
  with_prefix_ =
      weights_.contains(first) || !weights_.contains(without_prefix(first, mapping_.optional_prefix));
  check_weights();
}

std::string HuggingFaceFolder::file_name(const std::string& name) const {
  std::string today = with_prefix_ ? name : without_prefix(name, mapping_.optional_prefix);
  if (weights_.contains(today)) return today;
  for (const auto& [ending, old_ending] : mapping_.old_endings) {
    if (!today.ends_with(ending)) continue;
    std::string old = today.substr(0, today.size() - ending.size()) + old_ending;
    if (weights_.contains(old)) return old;
  }
  return today;
}

void HuggingFaceFolder::check_weights() const {
  Problems problems;
  std::map<std::string, bool> expected;
  for (const models::ForeignTensor& foreign : mapping_.tensors) {
    const std::string name = file_name(foreign.name);
    expected[name] = true;
    if (!weights_.contains(name)) {
      problems.add("missing",
                   fmt::format("{} [{}]", quoted_tensor_name(name), fmt::join(foreign.shape, ", ")));
    } else if (weights_.info(name).shape != foreign.shape) {
      problems.add("wrong shape",
                   fmt::format("{} is [{}], expected [{}]", quoted_tensor_name(name),
                               fmt::join(weights_.info(name).shape, ", "), fmt::join(foreign.shape, ", ")));
    }
  }
  for (const auto& [name, same_as] : mapping_.repeated) {
    const std::string original = file_name(same_as);
    if (!weights_.contains(name) || !weights_.contains(original)) continue;
    expected[name] = true;
    const auto a = weights_.bytes(name);
    const auto b = weights_.bytes(original);
    if (a.size() != b.size() || std::memcmp(a.data(), b.data(), a.size()) != 0) {
      problems.add("not tied", fmt::format("{} differs from {}, config.json says they are one",
                                           quoted_tensor_name(name), quoted_tensor_name(original)));
    }
  }
  for (const std::string& name : weights_.names()) {
    if (!expected.contains(name) && !ends_with_any("." + name, mapping_.ignored_endings)) {
      problems.add("unexpected", fmt::format("{} [{}]", quoted_tensor_name(name),
                                             fmt::join(weights_.info(name).shape, ", ")));
    }
  }
  problems.finish(path_);
}

void HuggingFaceFolder::load(const std::vector<nn::Parameter>& parameters, int rank) const {
  at::NoGradGuard no_grad;
  std::multimap<std::string, const models::ForeignTensor*> sources;
  for (const models::ForeignTensor& foreign : mapping_.tensors) sources.emplace(foreign.parameter, &foreign);
  for (const nn::Parameter& parameter : parameters) {
    const auto [begin, end] = sources.equal_range(parameter.name);
    if (begin == end)
      throw InternalError(fmt::format("no foreign tensor fills parameter {}", parameter.name));
    const tensor::Layout& layout = parameter.layout();
    if (layout.is_padded()) at::Tensor(parameter.tensor).zero_();
    const Slice slice = layout.slice(rank);
    const at::Tensor local = tensor::without_padding(parameter.tensor, layout, rank).view(slice.size);
    for (auto source = begin; source != end; ++source) {
      const models::ForeignTensor& foreign = *source->second;
      read_foreign(weights_, file_name(foreign.name), foreign, layout.shape(), slice, local);
    }
  }
}

HuggingFaceSaveOptions HuggingFaceFolder::save_options() const {
  HuggingFaceSaveOptions options;
  options.with_prefix = with_prefix_;
  options.config = json_;
  for (const std::string& name : weights_.names()) options.dtypes[name] = weights_.info(name).dtype;
  for (const models::ForeignTensor& foreign : mapping_.tensors) {
    const std::string& name = foreign.name;
    options.dtypes[with_prefix_ ? name : without_prefix(name, mapping_.optional_prefix)] =
        weights_.info(file_name(name)).dtype;
  }
  for (const auto& [name, same_as] : mapping_.repeated) {
    if (weights_.contains(name)) options.repeated.push_back(name);
  }
  return options;
}

void save_huggingface(const std::filesystem::path& folder, const models::ModelConfig& config,
                      const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh,
                      const HuggingFaceSaveOptions& options) {
  at::NoGradGuard no_grad;
  const models::Family& family = models::family(config.family);
  const models::ForeignWeights mapping = family.foreign.weights(config);
  const bool writes = mesh.rank() == 0;
  Exporter exporter(folder, options);
  if (writes) exporter.attempt([&] { exporter.start(mapping, mapping.optional_prefix); });
  for (const nn::Parameter& parameter : parameters) {
    const tensor::Layout& layout = parameter.layout();
    const at::Tensor local = parameter.tensor.detach().view(layout.local_shape());
    const at::Tensor full = layout.is_sharded() ? tensor::gather_full(local, layout, mesh) : local;
    for (const models::ForeignTensor& foreign : mapping.tensors) {
      if (writes && foreign.parameter == parameter.name)
        exporter.attempt([&] { exporter.write(foreign, full.cpu()); });
    }
  }
  Json json = options.config;
  if (json.is_null()) {
    json = family.foreign.write(config);
    json["dtype"] = json["torch_dtype"] = dtype_text(options.dtype);
  }
  if (writes) exporter.attempt([&] { exporter.finish(json); });
  const std::string error = comm::broadcast_json(Json(exporter.error()), mesh.all(), 0).get<std::string>();
  if (!error.empty()) throw IoError(error, ExitCode::checkpoint);
}

}  // namespace colossal::checkpoint
