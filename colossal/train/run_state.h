// SPDX-License-Identifier: Apache-2.0
// What a run is, for a checkpoint: its tensors by name and the rest as JSON.
//
//   checkpoint::save({.folder = folder, .step = engine.num_steps(), .tensors = run_tensors(engine), .state = ...}, all);
//
// Thread safety: one rank, one thread.
#pragma once
#include <vector>

#include "colossal/checkpoint/store.h"
#include "colossal/train/engine.h"

namespace colossal::train {

// Parameters as "model.<name>", optimizer state as "optimizer.<name>". The tensors are the run's own: reading into them loads the run.
std::vector<checkpoint::NamedTensor> run_tensors(Engine& engine);

// Fills parameters and optimizer state from a checkpoint of any layout. ConfigError where the checkpoint lacks one of them, or holds a
// tensor that the run has no place for; IoError names what differs otherwise.
void load_run_tensors(Engine& engine, const checkpoint::Checkpoint& checkpoint);

// The weights alone, into parameters of any dtype.
void load_weights(const std::vector<nn::Parameter>& parameters, const checkpoint::Checkpoint& checkpoint,
                  int rank);

}  // namespace colossal::train
