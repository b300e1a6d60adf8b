// SPDX-License-Identifier: Apache-2.0
// From a checkpoint of a run to a Hugging Face folder, and to a model ready for use.
//
//   export_huggingface("runs/a/checkpoints/step-00001000", "a-hf");
//   LoadedModel loaded = load_for_inference("runs/a", mesh, at::kFloat);      // a run, a checkpoint or a Hugging Face folder
//
// Thread-safe: pure functions but for the files they write.
#pragma once
#include <filesystem>
#include <memory>

#include "colossal/comm/mesh.h"
#include "colossal/data/tokenizer.h"
#include "colossal/models/language_model.h"

namespace colossal::train {

// Writes config.json, model.safetensors and, where the run had one, tokenizer.json. One process; any checkpoint, whatever its layout.
void export_huggingface(const std::filesystem::path& folder, const std::filesystem::path& output);

struct LoadedModel {
  std::shared_ptr<models::LanguageModel> model;
  std::shared_ptr<const data::Tokenizer> tokenizer;  // null: none is known for this folder
};

// `path`: a run's output folder (its newest good checkpoint), a checkpoint, or a Hugging Face folder. Collective over the mesh.
LoadedModel load_for_inference(const std::filesystem::path& path, const comm::Mesh& mesh,
                               at::ScalarType dtype);

}  // namespace colossal::train
