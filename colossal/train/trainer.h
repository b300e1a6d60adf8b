// SPDX-License-Identifier: Apache-2.0
// `colossal train`: the loop of a run file. Builds model, data, optimizer and engine from a RunConfig, then trains, evaluates, samples,
// saves, reports.
//
//   Trainer trainer(config, launch(launch_options(config)), Start::anew);
//   ExitCode code = trainer.run();
//
// Thread safety: one rank, one thread.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>

#include "colossal/base/error.h"
#include "colossal/train/config.h"
#include "colossal/train/context.h"

namespace colossal::train {

// Where a run begins: at step 0 in a folder that holds no checkpoint, at its newest good checkpoint, or at step 0 in place of the run
// that the folder holds.
enum class Start { anew, resume, overwrite };

LaunchOptions launch_options(const RunConfig& config);

class Trainer {
 public:
  // Collective. With Start::resume continues from the newest good checkpoint under run.output, or starts when there is none. ConfigError
  // where the run is another one than the checkpoint's or Start::anew finds checkpoints (train/resume.h), IoError where all are damaged.
  Trainer(RunConfig config, Context context, Start start);
  ~Trainer();

  // Trains until train.steps or until asked to stop. Collective.
  ExitCode run();

 private:
  struct Parts;
  struct StepOutcome;
  StepOutcome train_step();
  void report(const StepOutcome& outcome);
  void show_profile();
  void evaluate();
  void sample();
  void save();
  void resume(const std::filesystem::path& folder);
  double measure_peak_flops() const;

  RunConfig config_;
  Context context_;
  std::unique_ptr<Parts> parts_;
};

}  // namespace colossal::train
