// SPDX-License-Identifier: Apache-2.0
// Learning rate as a function of the step.
//
//   auto schedule = make_schedule({.name = "cosine", .learning_rate = 3e-4, .warmup_steps = 100, .total_steps = 10'000});
//   double rate = schedule(0);                       // the rate of the first step
//
// Thread-safe: pure functions.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace colossal::optim {

struct ScheduleOptions {
  std::string name = "constant";  // constant linear cosine polynomial wsd
  double learning_rate = 1e-3;    // peak
  int64_t warmup_steps = 0;
  int64_t total_steps = 0;
  double min_ratio = 0;          // final rate / peak
  double power = 1;              // polynomial
  double cycles = 0.5;           // cosine
  int64_t decay_steps = 0;       // wsd: steps of the final decay
  std::string decay = "cosine";  // wsd: its form, cosine or linear ...
};

using Schedule = std::function<double(int64_t step)>;

// ConfigError for an unknown name, with the nearest.
Schedule make_schedule(const ScheduleOptions& options);

}  // namespace colossal::optim
