// SPDX-License-Identifier: Apache-2.0
// Everything that a run tells people, in one place: terminal, metrics.jsonl, TensorBoard, samples.
//
//   Monitor monitor(config, {.load = {.samples = 16, .sample_tokens = 256, .flops = 3e12}, .peak_flops = 8e11, .world_size = 4});
//   monitor.step(metrics);                        // after every step
//   monitor.validation(step, {.loss = 3.21, .num_targets = 65536});   // where an evaluation followed it
//   monitor.finish(/*stopped=*/false);
//
// Not thread-safe: rank 0 has one, and uses it from one thread.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "colossal/train/config.h"
#include "colossal/train/monitor/metrics.h"
#include "colossal/train/monitor/progress.h"
#include "colossal/train/monitor/run_folder.h"
#include "colossal/train/monitor/tensorboard.h"

namespace colossal::train {

struct MonitorStart {
  std::string model = {};  // one line: "gpt2 6 x 384, 6 heads, vocabulary 257: 10.8M parameters"
  int64_t steps_done = 0;  // before this start: more than 0 when a run resumes
  Load load = {};          // without flops the share of peak is not shown
  double peak_flops = 0;   // measured matmul peak of all ranks together, per second; 0: not shown
  int64_t world_size = 1;
};

// Of held-out data.
struct ValidationPart {
  double loss = 0;
  double accuracy = 0;
};
struct Validation {
  double loss = 0;
  std::optional<double> accuracy = {};               // unset: the perplexity is shown
  std::map<std::string, ValidationPart> parts = {};  // by name, of a model with several kinds of targets
  int64_t num_targets = 0;
  std::string targets = "tokens";  // what they are
};

class Monitor {
 public:
  // Creates run.output and writes the resolved configuration there.
  Monitor(const RunConfig& config, const MonitorStart& start);

  void step(StepMetrics metrics);  // `time` is filled
  // Joins the line of the step in metrics.jsonl when that was the last.
  void validation(int64_t step, const Validation& result);
  void sample(int64_t step, const std::string& prompt, const std::string& text);
  void saved(int64_t step, const std::filesystem::path& checkpoint, double seconds);
  void note(std::string_view text) { progress_.note(text); }
  // The last words: steps of this start and of the run, or that there was nothing to do. `stopped`: before train.steps, by a
  // signal.
  void finish(bool stopped);

 private:
  void scalar(std::string_view tag, double value, const StepMetrics& m);

  RunFolder folder_;
  MetricsWriter metrics_;
  StepLog samples_;
  std::optional<EventWriter> events_;
  StepMetrics last_;
  std::optional<Validation> last_validation_;
  int64_t steps_before_, total_steps_;
  double started_at_ = 0;
  double flushed_at_ = 0;
  Progress progress_;
};

}  // namespace colossal::train
