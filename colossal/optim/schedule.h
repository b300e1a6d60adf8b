// SPDX-License-Identifier: Apache-2.0
// Learning rate as a function of the step.
//
//   auto schedule = make_schedule({.name = "cosine", .learning_rate = 3e-4, .warmup_steps = 100, .total_steps = 10'000});
//   double rate = schedule(0);                       // the rate of the first step
//
// The forms and their behaviour past the end are those of transformers.get_scheduler. Thread-safe: pure functions.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace colossal::optim {

struct ScheduleOptions {
  std::string name = "constant";  // constant linear cosine cosine_restarts polynomial inverse_sqrt wsd
  double learning_rate = 1e-3;    // peak
  int64_t warmup_steps = 0;       // linear from 0 (wsd: from min_ratio)
  int64_t total_steps = 0;        // all but constant and inverse_sqrt
  double min_ratio = 0;           // final rate / peak: linear, cosine, polynomial, wsd
  double power = 1;               // polynomial
  double cycles = 0.5;  // cosine: waves from warm-up to the end; cosine_restarts: whole number of restarts
  int64_t decay_steps = 0;       // wsd: steps of the final decay
  std::string decay = "cosine";  // wsd: its form: cosine, linear or 1-sqrt
};

using Schedule = std::function<double(int64_t step)>;

// ConfigError with all problems: an unknown name (with the nearest), counts that do not fit each other.
Schedule make_schedule(const ScheduleOptions& options);

}  // namespace colossal::optim
