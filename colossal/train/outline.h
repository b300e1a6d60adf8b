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

// What each rank holds from its first step on, whatever its batch: weights, their gradients and the state of the optimizer, in
// bytes. Blocks are alike, so two of them tell of any number.
struct HeldBytes {
  int64_t outside = 0;  // of the blocks
  int64_t block = 0;
  int64_t num_blocks = 0;
  int64_t with(int64_t blocks) const { return outside + blocks * block; }
  int64_t total() const { return with(num_blocks); }
};
HeldBytes held_bytes(const RunConfig& config);

}  // namespace colossal::train
