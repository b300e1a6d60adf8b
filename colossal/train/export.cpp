// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/export.h"

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/checkpoint/store.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/train/build.h"
#include "colossal/train/named_folder.h"
#include "colossal/train/run_state.h"

namespace colossal::train {
namespace fs = std::filesystem;
namespace {

constexpr const char* kModelFolders =
    "the output folder of a run (run.output), a checkpoint, or a Hugging Face folder";

// Model or LanguageModel: models::build or what allows only the latter.
template <class Built>
using Build = std::shared_ptr<Built> (*)(const models::ModelConfig&, nn::LayerFactory&);

template <class Built>
std::shared_ptr<Built> build_for(Build<Built> build, const models::ModelConfig& config,
                                 const comm::Mesh& mesh, at::ScalarType dtype) {
  nn::DenseFactory make(mesh, std::make_shared<nn::StepState>(nn::StepState{.training = false}),
                        {.compute = dtype});
  auto model = build(config, make);
  model->eval();
  return model;
}

template <class Built>
std::shared_ptr<Built> load_checkpoint(Build<Built> build, const checkpoint::Checkpoint& checkpoint,
                                       const comm::Mesh& mesh, at::ScalarType dtype) {
  auto model = build_for(build, model_config_from(checkpoint.manifest().state.at("model")), mesh, dtype);
  load_weights(nn::parameters(*model, mesh), checkpoint, mesh.rank());
  return model;
}

fs::path checkpoint_below(const fs::path& path, const comm::Group& all) {
  if (fs::exists(path / "manifest.json")) return path;
  const fs::path folder = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  const checkpoint::Chosen chosen = checkpoint::newest_good(folder, all);
  if (chosen.folder) return *chosen.folder;
  if (chosen.skipped.empty()) {
    refuse_named_folder(path, "holds neither config.json (a Hugging Face folder) nor a checkpoint",
                        kModelFolders);
  }
  std::string message = fmt::format("{}: holds no good checkpoint", path.string());
  for (const std::string& line : chosen.skipped) message += "\n" + line;
  throw IoError(message, ExitCode::checkpoint);
}

// Refuses what must not be written over, and clears away what an earlier export left.
void make_room(const fs::path& output, Overwrite overwrite) {
  if (!fs::exists(output)) return;
  if (!fs::is_directory(output))
    throw ConfigError(fmt::format("{}: is a file. Name a folder to export to.", output.string()));
  if (fs::is_empty(output)) return;
  if (!fs::exists(output / "config.json")) {
    throw ConfigError(fmt::format(
        "{}: holds files, but no earlier export (config.json). Name another folder.", output.string()));
  }
  if (overwrite == Overwrite::no) {
    throw ConfigError(fmt::format(
        "{}: holds a Hugging Face model already. Name another folder, or add --overwrite to replace it.",
        output.string()));
  }
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(output)) {
    const std::string name = entry.path().filename().string();
    const bool weights = name.starts_with("model") && name.find(".safetensors") != name.npos;
    if (weights || name == "config.json" || name == "tokenizer.json") stale.push_back(entry.path());
  }
  for (const fs::path& path : stale) fs::remove(path);
}

fs::path tokenizer_file(const std::string& name) {
  return fs::is_directory(name) ? fs::path(name) / "tokenizer.json" : fs::path(name);
}

std::string tokenizer_name(const checkpoint::Checkpoint& checkpoint) {
  return checkpoint.manifest().state.value("tokenizer", "bytes");
}

}  // namespace

std::string export_huggingface(const fs::path& folder, const fs::path& output, Overwrite overwrite) {
  const checkpoint::Checkpoint opened(folder);
  const auto dtype = opened.manifest().tensors.empty() || opened.manifest().tensors.front().dtype != "F64"
                         ? at::kFloat
                         : at::kDouble;
  const comm::Mesh mesh;
  const auto model = load_checkpoint(models::build, opened, mesh, dtype);
  make_room(output, overwrite);
  checkpoint::save_huggingface(output, model->config(), nn::parameters(*model, mesh), mesh, {.dtype = dtype});
  const models::Task task = models::family(model->config().family).task;
  if (task == models::Task::image_classification) return "";
  const std::string name = tokenizer_name(opened);
  const fs::path file = tokenizer_file(name);
  if (name != "bytes" && !fs::exists(file)) return file.string();
  const auto purpose =
      task == models::Task::masked_language ? data::Purpose::masking : data::Purpose::next_token;
  write_file_durably(output / "tokenizer.json",
                     name == "bytes" ? data::bytes_tokenizer_json(purpose) : read_file(file));
  return "";
}

LoadedModel load_for_inference(const fs::path& path, const comm::Mesh& mesh, at::ScalarType dtype,
                               const std::string& tokenizer) {
  LoadedModel loaded;
  if (!tokenizer.empty())
    loaded.tokenizer = data::Tokenizer::load(tokenizer);  // it may fail: before the weights
  check_named_folder(path, kModelFolders);
  if (fs::exists(path / "config.json")) {
    const checkpoint::HuggingFaceFolder folder(path);
    loaded.model = build_for(models::build_language_model, folder.config(), mesh, dtype);
    folder.load(nn::parameters(*loaded.model, mesh), mesh.rank());
    if (!loaded.tokenizer && fs::exists(path / "tokenizer.json"))
      loaded.tokenizer = data::Tokenizer::load(path.string());
    return loaded;
  }
  const checkpoint::Checkpoint opened(checkpoint_below(path, mesh.all()));
  loaded.model = load_checkpoint(models::build_language_model, opened, mesh, dtype);
  if (loaded.tokenizer) return loaded;
  const std::string name = tokenizer_name(opened);
  if (name == "bytes" || fs::exists(tokenizer_file(name)))
    loaded.tokenizer = data::Tokenizer::load(name);
  else
    loaded.lost_tokenizer = name;
  return loaded;
}

}  // namespace colossal::train
