// SPDX-License-Identifier: Apache-2.0
// What `colossal verify` feeds a model with, and the part of it that a data-parallel rank takes.
//
//   VerifyTask task = synthetic_task(config);
//   OwnRows own = own_rows(task, config, mesh);
//   at::Tensor loss = model->loss(own.inputs, own.counts);
//
// Thread-safe: pure functions.
#pragma once
#include "colossal/checkpoint/safetensors.h"
#include "colossal/comm/mesh.h"
#include "colossal/models/inputs.h"
#include "colossal/models/model_config.h"

namespace colossal::train {

// A batch, on every rank in full, and what to do with it.
struct VerifyTask {
  models::Inputs inputs =
      {};  // those of models::inputs_of; the labels of causal models are those of transformers, not shifted
  int64_t steps = 10;  // of AdamW
};

// The batch of a reference file; IoError for what it lacks.
VerifyTask task_from(const checkpoint::SafetensorsReader& file, const models::ModelConfig& config);

// Random inputs; every other row of tokens is padded on the right and some labels are ignored, so that masks are compared too.
VerifyTask synthetic_task(const models::ModelConfig& config);

struct OwnRows {
  models::Inputs inputs = {};        // labels aligned; no mask where nothing is padding
  models::TargetCounts counts = {};  // of the whole batch
  int64_t rows = 0;                  // of the whole batch, before it was filled up
  int64_t own_rows = 0;
  comm::Group data = {};
};

// Rows go to the "data" axis of the mesh; where they do not divide, rows without targets fill up.
OwnRows own_rows(const VerifyTask& task, const models::ModelConfig& config, const comm::Mesh& mesh);

}  // namespace colossal::train
