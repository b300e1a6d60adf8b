// SPDX-License-Identifier: Apache-2.0
// Whole runs of a tiny model with the Trainer, ranks as threads, and what they left on disk.
//
//   const RunConfig config = small_run(scratch.path(), 2, {"train.steps=5"});
//   run_trainer(config, Start::anew);
//   Outcome outcome = outcome_of(config);
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "colossal/train/monitor/metrics.h"
#include "colossal/train/trainer.h"

namespace colossal::testing {

// fp64, dropout and attention dropout, clipping, shuffling, 10 steps of 8 sequences in microbatches of 2, a checkpoint at steps 5
// and 10. Training data of 30 sequences (vit: 30 images of 12 x 12, flipped and shifted), so that the second epoch begins within a step.
// `changes` are --set arguments.
train::RunConfig small_run(const std::filesystem::path& folder, int ranks,
                           const std::vector<std::string>& changes = {});

// On as many ranks as config.parallel says. The bytes that rank 0 sent.
int64_t run_trainer(const train::RunConfig& config, train::Start start);

struct Outcome {
  std::vector<train::StepMetrics> steps;
  std::map<std::string, at::Tensor> tensors;  // of the newest checkpoint
  Json engine, loader;                        // its state
};
Outcome outcome_of(const train::RunConfig& config);

// A run from its start to its end.
Outcome trained(const std::filesystem::path& folder, int ranks, const std::vector<std::string>& changes = {});

// Takes the checkpoint of that step away, as if the run had been killed before it.
void remove_checkpoint(const train::RunConfig& config, int64_t step);

void check_equal_bits(const Outcome& a, const Outcome& b);
// Losses, gradient norms and weights within `tolerance`, absolute; optimizer state relative to its largest element; accuracies equal.
void check_close(const Outcome& a, const Outcome& b, double tolerance);

}  // namespace colossal::testing
