// SPDX-License-Identifier: Apache-2.0
// Model folders of Hugging Face: config.json with model.safetensors, single or sharded. In and out, in any layout.
//
//   HuggingFaceFolder folder("llama3-8b");
//   auto model = models::build(folder.config(), make);
//   folder.load(nn::parameters(*model, mesh), mesh.rank());          // reads this rank's slices only
//   save_huggingface("copy", folder.config(), parameters, mesh, folder.save_options());
//
// Thread safety: a folder is immutable and may be shared; saving is collective over the mesh.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/checkpoint/safetensors_set.h"
#include "colossal/comm/mesh.h"
#include "colossal/models/foreign_weights.h"
#include "colossal/models/model_config.h"
#include "colossal/nn/parameter.h"

namespace colossal::checkpoint {

struct HuggingFaceSaveOptions {
  at::ScalarType dtype = at::kFloat;                  // of all tensors but those in `dtypes`
  std::map<std::string, at::ScalarType> dtypes = {};  // by name in the file
  bool with_prefix = true;                            // names begin with the family's optional prefix
  std::vector<std::string> repeated = {};             // write these tied names too
  Json config = {};                                   // config.json; null: made from the ModelConfig
  uint64_t max_file_bytes = 5'000'000'000;
};

class HuggingFaceFolder {
 public:
  // Reads config.json (both spellings) and the headers of the weights. ConfigError for a config that no family here can be; IoError for
  // files that are missing or damaged, or with all tensors that are missing, unexpected or of the wrong shape.
  explicit HuggingFaceFolder(const std::filesystem::path& path);

  const models::ModelConfig& config() const { return config_; }
  const Json& config_json() const { return json_; }
  const SafetensorsSet& weights() const { return weights_; }
  const models::ForeignWeights& mapping() const { return mapping_; }

  // Fills these parameters (all of a model, or those of a pipeline stage), cast to their dtypes.
  void load(const std::vector<nn::Parameter>& parameters, int rank) const;

  // What save_huggingface needs to write the same names, dtypes and config.
  HuggingFaceSaveOptions save_options() const;

 private:
  void check_weights() const;
  std::string file_name(const std::string& name) const;  // as the file has it: without prefix, old endings

  std::filesystem::path path_;
  Json json_;
  models::ModelConfig config_;
  models::ForeignWeights mapping_;
  SafetensorsSet weights_;
  bool with_prefix_ = true;
};

// Collective over the mesh: parameters are gathered one at a time, rank 0 writes. Every rank throws when rank 0 cannot write.
// `parameters`: all of the model on every rank.
void save_huggingface(const std::filesystem::path& folder, const models::ModelConfig& config,
                      const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh,
                      const HuggingFaceSaveOptions& options = {});

}  // namespace colossal::checkpoint
