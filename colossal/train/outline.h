// SPDX-License-Identifier: Apache-2.0
// The model of a run as all its ranks would hold it, without starting one and without memory for a weight: tensors are on the `meta`
// device, groups exist in name only.
//
//   Outline outline = outline_of(load_run_config("run.toml", {}, 512));
//   tensor::Slice mine = outline.parameters[0].layout().slice(311);
//
// Thread-safe: values.
#pragma once
#include <vector>

#include "colossal/comm/mesh_shape.h"
#include "colossal/models/model_config.h"
#include "colossal/nn/parameter.h"
#include "colossal/train/config.h"

namespace colossal::train {

struct Outline {
  models::ModelConfig model;
  comm::MeshShape mesh;
  std::vector<nn::Parameter> parameters;  // each tied tensor once

  int64_t numel() const;        // of the model
  int64_t local_numel() const;  // of each rank, with padding
};

// Reads of files only what tells sizes: the tokenizer, labels, or what model.load names. ConfigError and IoError as for a run.
Outline outline_of(const RunConfig& config);

}  // namespace colossal::train
