// SPDX-License-Identifier: Apache-2.0
// Everything that a run tells people, in one place: terminal, metrics.jsonl, TensorBoard, samples.
//
//   Monitor monitor(config, {.vocab_size = 50304, .first_step = 1, .world_size = 4, .peak_flops = 8e11});
//   monitor.step(metrics);                        // after every step
//   monitor.sample({step, prompt, text});
//   monitor.finish();
//
// Not thread-safe: rank 0 has one, and uses it from one thread.
#pragma once
#include <optional>
#include <string_view>

#include "colossal/train/config.h"
#include "colossal/train/monitor/metrics.h"
#include "colossal/train/monitor/progress.h"
#include "colossal/train/monitor/run_folder.h"
#include "colossal/train/monitor/tensorboard.h"

namespace colossal::train {

struct MonitorOptions {
  int64_t vocab_size = 0;  // for the share of peak; 0: not shown
  int64_t first_step = 1;  // of this start; larger when a run resumes
  int64_t world_size = 1;
  double peak_flops = 0;  // of all ranks together
};

class Monitor {
 public:
  // Creates run.output and writes the resolved configuration there.
  Monitor(const RunConfig& config, const MonitorOptions& options);

  void step(StepMetrics metrics);  // `time` is filled
  void sample(const Sample& sample);
  void note(std::string_view text) { progress_.note(text); }
  void finish();

 private:
  RunFolder folder_;
  MetricsWriter metrics_;
  std::optional<StepLog> samples_;
  std::optional<EventWriter> events_;
  double flushed_at_ = 0;
  Progress progress_;
};

}  // namespace colossal::train
