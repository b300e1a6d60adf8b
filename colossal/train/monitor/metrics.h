// SPDX-License-Identifier: Apache-2.0
// metrics.jsonl: what every optimizer step measured, one JSON object per line.
//
//   MetricsWriter writer("runs/first/metrics.jsonl", /*first_step=*/1);
//   writer.write({.step = 1, .loss = 10.8, .load_per_second = 12000});
//   std::vector<StepMetrics> all = read_metrics("runs/first/metrics.jsonl");
//
// Not thread-safe: one rank writes, from one thread. Readers may look at the file at any time.
#pragma once
#include <cstdint>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/json.h"

namespace colossal::train {

// What a step takes, in the unit in which people count it.
struct Load {
  enum class Kind { tokens, images } kind = Kind::tokens;
  int64_t samples = 0;        // of the global batch
  int64_t sample_tokens = 1;  // images: 1
  double flops = 0;           // of a step: 6 N + 12 L h s per token (models/family.h); 0: unknown
  int64_t items() const { return samples * sample_tokens; }
};

// A part of the loss, of a model with several kinds of targets. In the file NAME_loss, validation_NAME_loss, validation_NAME_accuracy.
struct PartMetrics {
  double loss = std::numeric_limits<double>::quiet_NaN();
  std::optional<double> validation_loss = {}, validation_accuracy = {};
};

// One optimizer step; steps count from 1. NaN and Inf are written as null.
struct StepMetrics {
  int64_t step = 0;
  double loss = std::numeric_limits<double>::quiet_NaN();  // mean over the targets of the global batch
  double grad_norm = std::numeric_limits<double>::quiet_NaN();
  double learning_rate = 0;
  double load_per_second = 0;  // of all ranks; in the file "tokens_per_second" or "images_per_second"
  Load::Kind kind = Load::Kind::tokens;
  double step_seconds = 0;
  int64_t peak_memory_bytes = 0;     // the largest of all ranks
  double data_wait_seconds = 0;      // the step waited so long for its batch
  double communication_seconds = 0;  // of this rank, in collectives that nothing overlapped
  double loss_scale = 1;             // fp16
  bool applied = true;               // false: no update, because of NaN or Inf
  std::string nonfinite = {};        // the parameter whose gradient was not finite
  bool failed = false;               // the run ends with this step, and an error tells why; not in the file
  // Where an evaluation followed the step; accuracies where the model has labels to be right about.
  std::optional<double> validation_loss = {};
  std::optional<double> validation_accuracy = {};
  std::map<std::string, PartMetrics> parts = {};  // of the losses, by name; empty: they have one
  double time = 0;                                // seconds since 1970 at the end of the step
};

// The name of a part as people read it: "masked lm".
std::string readable(std::string name);

Json to_json(const StepMetrics& metrics);
StepMetrics step_metrics(const Json& json);  // absent and null numbers are NaN

// Text that the model wrote during training; a line of samples.jsonl.
struct Sample {
  int64_t step = 0;
  std::string prompt;
  std::string text;  // without the prompt
};

// A file of JSON objects with a "step", one per line, that survives resumption: opening it at `first_step` drops
// the lines from there on (a run that stopped after its last checkpoint repeats those steps), and a last line
// that was cut off. IoError names the path.
class StepLog {
 public:
  StepLog(std::filesystem::path path, int64_t first_step);
  StepLog(StepLog&& other) noexcept;
  StepLog& operator=(StepLog&&) = delete;
  ~StepLog();

  // One write per line: readers never see half of one.
  void append(const Json& line);
  // Writes the last line again, with more in it.
  void replace_last(const Json& line);

 private:
  void write_at(int64_t offset, const Json& line);

  std::filesystem::path path_;
  int fd_ = -1;
  int64_t last_ = 0, end_ = 0;  // offsets of the last line and behind it
};

class MetricsWriter {
 public:
  MetricsWriter(const std::filesystem::path& path, int64_t first_step) : log_(path, first_step) {}
  void write(const StepMetrics& metrics) { log_.append(to_json(metrics)); }
  void rewrite(const StepMetrics& metrics) {
    log_.replace_last(to_json(metrics));
  }  // of the step written last

 private:
  StepLog log_;
};

// Whole lines of the file; a missing file is empty, lines that are no object with a "step" are left out.
std::vector<Json> read_step_log(const std::filesystem::path& path);
std::vector<StepMetrics> read_metrics(const std::filesystem::path& path);
std::vector<Sample> read_samples(const std::filesystem::path& path);

}  // namespace colossal::train
