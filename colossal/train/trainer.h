// SPDX-License-Identifier: Apache-2.0
// `colossal train`: the loop of a run file. Builds model, data, optimizer and engine from a RunConfig, then trains, evaluates, samples,
// saves, reports.
//
//   Trainer trainer(config, launch(launch_options(config)), Resume::no);
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

enum class Resume { no, newest };

LaunchOptions launch_options(const RunConfig& config);

class Trainer {
 public:
  // Collective. With Resume::newest continues from the newest good checkpoint under run.output, or starts when there is none. ConfigError
  // where the run is another one than the checkpoint's (train/resume.h), IoError where all checkpoints are damaged.
  Trainer(RunConfig config, Context context, Resume resume);
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
