// SPDX-License-Identifier: Apache-2.0
// Dynamic loss scale for fp16: halves when gradients overflow, doubles after a run of good steps (arXiv 1710.03740).
//
//   LossScaler scaler({.initial = 65536});
//   (loss * scaler.scale()).backward();  ...  scaler.update(all_finite);
//
// All ranks see the same overflows, so their scales stay equal. Thread safety: one rank, one thread.
#pragma once
#include <cstdint>

#include "colossal/base/json.h"

namespace colossal::optim {

struct LossScaleOptions {
  double initial = 65536;
  double growth = 2;
  double backoff = 0.5;     // never below 1: what is not finite there is no overflow of the scale
  int64_t interval = 2000;  // good steps between two growths
};

class LossScaler {
 public:
  explicit LossScaler(const LossScaleOptions& options) : options_(options), scale_(options.initial) {}
  double scale() const { return scale_; }
  int64_t num_skipped() const { return num_skipped_; }
  void update(bool all_finite);
  Json state() const;
  void load_state(const Json& state);

 private:
  LossScaleOptions options_;
  double scale_;
  int64_t good_steps_ = 0;
  int64_t num_skipped_ = 0;
};

}  // namespace colossal::optim
