// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/export.h"

#include "colossal/base/error.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/checkpoint/store.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/train/build.h"
#include "colossal/train/run_state.h"

namespace colossal::train {
namespace fs = std::filesystem;
namespace {

std::shared_ptr<models::LanguageModel> build_for(const models::ModelConfig& config, const comm::Mesh& mesh,
                                                 at::ScalarType dtype) {
  nn::DenseFactory make(mesh, std::make_shared<nn::StepState>(nn::StepState{.training = false}),
                        {.compute = dtype});
  auto model = models::build(config, make);
  model->eval();
  return model;
}

std::shared_ptr<models::LanguageModel> load_checkpoint(const checkpoint::Checkpoint& checkpoint,
                                                       const comm::Mesh& mesh, at::ScalarType dtype) {
  auto model = build_for(model_config_from(checkpoint.manifest().state.at("model")), mesh, dtype);
  load_weights(nn::parameters(*model, mesh), checkpoint, mesh.rank());
  return model;
}

fs::path checkpoint_below(const fs::path& path, const comm::Group& all) {
  if (fs::exists(path / "manifest.json")) return path;
  const fs::path folder = fs::is_directory(path / "checkpoints") ? path / "checkpoints" : path;
  const checkpoint::Chosen chosen = checkpoint::newest_good(folder, all);
  if (chosen.folder) return *chosen.folder;
  std::string message = fmt::format(
      "{}: holds neither config.json (a Hugging Face folder) nor a good checkpoint", path.string());
  for (const std::string& line : chosen.skipped) message += "\n" + line;
  throw IoError(message, ExitCode::checkpoint);
}

}  // namespace

void export_huggingface(const fs::path& folder, const fs::path& output) {
  const checkpoint::Checkpoint opened(folder);
  const auto dtype = opened.manifest().tensors.empty() || opened.manifest().tensors.front().dtype != "F64"
                         ? at::kFloat
                         : at::kDouble;
  const comm::Mesh mesh;
  const auto model = load_checkpoint(opened, mesh, dtype);
  checkpoint::save_huggingface(output, model->config(), nn::parameters(*model, mesh), mesh, {.dtype = dtype});
  const fs::path tokenizer = opened.manifest().state.value("tokenizer", "bytes");
  const fs::path file = fs::is_directory(tokenizer) ? tokenizer / "tokenizer.json" : tokenizer;
  if (tokenizer != "bytes" && fs::exists(file))
    fs::copy_file(file, output / "tokenizer.json", fs::copy_options::overwrite_existing);
}

LoadedModel load_for_inference(const fs::path& path, const comm::Mesh& mesh, at::ScalarType dtype) {
  if (!fs::exists(path))
    throw IoError(fmt::format("{}: there is no such folder", path.string()), ExitCode::checkpoint);
  if (fs::exists(path / "config.json")) {
    const checkpoint::HuggingFaceFolder folder(path);
    auto model = build_for(folder.config(), mesh, dtype);
    folder.load(nn::parameters(*model, mesh), mesh.rank());
    const bool has_tokenizer = fs::exists(path / "tokenizer.json");
    return {std::move(model), has_tokenizer ? data::Tokenizer::load(path.string()) : nullptr};
  }
  const checkpoint::Checkpoint opened(checkpoint_below(path, mesh.all()));
  return {load_checkpoint(opened, mesh, dtype),
          data::Tokenizer::load(opened.manifest().state.value("tokenizer", "bytes"))};
}

}  // namespace colossal::train
