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

enum class Overwrite { no, yes };

// Writes config.json, model.safetensors and, for text, tokenizer.json; one process; any checkpoint, whatever its layout. What an earlier
// export left in `output` is replaced with Overwrite::yes, else a ConfigError; a folder that holds something else is refused. The
// result: a tokenizer that the run had and that is not there any more, so that it had to be left out; else empty.
std::string export_huggingface(const std::filesystem::path& folder, const std::filesystem::path& output,
                               Overwrite overwrite = Overwrite::no);

struct LoadedModel {
  std::shared_ptr<models::LanguageModel> model;
  std::shared_ptr<const data::Tokenizer> tokenizer;  // null: none is known for this folder, or
  std::string lost_tokenizer = {};                   // the run had this file, which is not there any more
};

// `path`: a run's output folder (its newest good checkpoint), a checkpoint, or a Hugging Face folder. `tokenizer`, unless empty,
// is taken instead of the model's own (data::Tokenizer::load). ConfigError where there is none, and for a model that does not predict the
// next token. Collective over the mesh.
LoadedModel load_for_inference(const std::filesystem::path& path, const comm::Mesh& mesh,
                               at::ScalarType dtype, const std::string& tokenizer = "");

}  // namespace colossal::train
