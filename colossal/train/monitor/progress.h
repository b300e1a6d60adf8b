// SPDX-License-Identifier: Apache-2.0
// What a run shows on the terminal: one line that is redrawn, or plain lines when the output is not a terminal.
//
//   Progress progress({.total_steps = 1000, .load = {.samples = 16, .sample_tokens = 256, .flops = 4e11}, .peak_flops = 8e11});
//   progress.step(metrics);                                    // after every step
//   progress.note("checkpoint saved: runs/first/checkpoints/100");   // a line above the bar
//
//   412/1000 ━━━━━━╸─────── 41%  loss 3.214  grad 0.81  lr 2.9e-04  12.3k tok/s  38% of peak  1.2 GiB  ETA 2m 10s
//
// Not thread-safe: one rank shows progress, from one thread.
#pragma once
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>

#include "colossal/train/config.h"
#include "colossal/train/monitor/metrics.h"

namespace colossal::train {

struct ProgressOptions {
  int64_t total_steps = 1;
  Load load = {};         // without samples no rate is shown
  double peak_flops = 0;  // measured matmul peak of all ranks together, per second; 0: not shown
  ProgressStyle style = ProgressStyle::automatic;
  int64_t lines_every = 0;  // steps between plain lines; 0: about fifty lines in all
  int fd = 2;               // standard error: standard output stays free for what a command prints
};

// What the line says, apart from where it is drawn.
struct ProgressState {
  StepMetrics metrics;
  int64_t total_steps = 1;
  double load_per_second = 0;  // smoothed
  double peak_share = 0;       // of the matmul peak; 0: unknown
  double eta_seconds = 0;
};

enum class Glyphs { unicode, ascii };

// The bar, at most `width` columns: what matters least is left out first (memory, peak, rate, parts of the loss,
// gradient, percent, bar).
std::string bar_line(const ProgressState& state, int width, Glyphs glyphs);

// "step 412/1000  loss 3.214  ...", everything, for logs.
std::string plain_line(const ProgressState& state);

class Progress {
 public:
  using Clock = std::function<double()>;  // seconds, monotonic

  explicit Progress(ProgressOptions options, Clock clock = steady_seconds);
  ~Progress();  // leaves the last state of the bar on the screen
  Progress(const Progress&) = delete;

  void step(const StepMetrics& metrics);
  void note(std::string_view text);  // may have several lines
  void finish();

  static double steady_seconds();

 private:
  ProgressState state(const StepMetrics& metrics) const;
  void draw();
  void write(const std::string& text) const;
  int width() const;

  ProgressOptions options_;
  Clock clock_;
  bool bar_ = false;
  Glyphs glyphs_ = Glyphs::unicode;
  int64_t lines_every_ = 1;
  bool first_ = true;
  ProgressState state_;
  std::deque<double> recent_seconds_;  // of the last steps, for rate and ETA
  double drawn_at_ = -1;
  bool on_screen_ = false;
};

}  // namespace colossal::train
