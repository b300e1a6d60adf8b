// SPDX-License-Identifier: Apache-2.0
// Where a run goes on, what becomes of the run that its folder holds, and whether it still is the run that wrote the checkpoint.
//
//   if (const auto folder = checkpoint_to_resume(config, context)) {
//     const checkpoint::Checkpoint checkpoint(*folder);
//     check_same_run(config, model->config(), loader.num_samples(), checkpoint);
//   }
//
// Thread safety: one rank, one thread.
#pragma once
#include <filesystem>
#include <optional>
#include <string>

#include "colossal/checkpoint/store.h"
#include "colossal/models/model_config.h"
#include "colossal/train/config.h"
#include "colossal/train/context.h"

namespace colossal::train {

// The newest good checkpoint below run.output, nullopt where there is none yet. Rank 0 says which it is and what it passed over. IoError
// (exit code 4) with every reason where there are checkpoints and all of them are damaged. Collective.
std::optional<std::filesystem::path> checkpoint_to_resume(const RunConfig& config, const Context& context);

// ConfigError where run.output holds checkpoints, with the newest step and the ways out. What else an earlier run has left is replaced.
void check_holds_no_run(const RunConfig& config);

// Removes the checkpoints that run.output holds, and says so.
void remove_run(const RunConfig& config);

// ConfigError that names every key whose value must be that of the checkpoint and is not: sizes in [model], the optimizer and what it
// keeps, run.seed, order and length of the samples, and, where their number (`num_samples`) differs, where they come from. `model` is
// the model of the run with nothing left open. docs/checkpoints.md says what may change.
void check_same_run(const RunConfig& config, const models::ModelConfig& model, int64_t num_samples,
                    const checkpoint::Checkpoint& checkpoint);

// Says so where the tokens of data.train are others (data::Datasets::fingerprint) than those that the checkpoint was trained on.
void warn_of_other_data(const std::string& fingerprint, const checkpoint::Checkpoint& checkpoint);

}  // namespace colossal::train
