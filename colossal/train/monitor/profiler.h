// SPDX-License-Identifier: Apache-2.0
// Records some steps of one rank: operators, phases, collectives; as a Chrome trace and as a table of where the time goes.
//
//   StepProfiler profiler(context, {.folder = run.profile(), .first_step = 3, .num_steps = 3});
//   profiler.begin_step(3); profiler.phase("forward"); ...; profiler.end_step();   // around every step
//   if (profiler.finished()) fmt::print("{}", profiler.summary());
//
// Outside the chosen steps nothing is installed and nothing recorded. Thread safety: one rank, one thread (autograd's own threads
// are recorded too).
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

#include "colossal/train/context.h"

namespace colossal::train {

struct ProfileOptions {
  std::filesystem::path folder = {};
  int64_t first_step = 3;
  int64_t num_steps = 0;          // 0: never records
  size_t max_events = 1'000'000;  // later operators are counted, not kept
};

class StepProfiler {
 public:
  StepProfiler(const Context& context, ProfileOptions options);
  StepProfiler(StepProfiler&&) noexcept;
  ~StepProfiler();

  void begin_step(int64_t step);
  // Ends the phase before. "data", "forward", "backward", "optimizer" and "report" are the ones that the summary knows.
  void phase(std::string_view name);
  // After the last chosen step writes rank-<rank>.json, and summary.txt on rank 0. IoError names the path.
  void end_step();
  // The same earlier, for a run that stops inside the chosen steps; nothing when there is nothing to write.
  void finish();

  bool finished() const;
  // Seconds per step and share by kind of work; empty before finished().
  const std::string& summary() const;
  std::filesystem::path path() const;  // of this rank's trace

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace colossal::train
