// SPDX-License-Identifier: Apache-2.0
// Which sample stands in which row of which global batch: a pure function, so every rank computes its own
// rows and no layout, world size or restart changes what a step trains on.
//
//   SampleOrder order(dataset.size(), seed, Shuffle::yes);
//   order(step * global_batch_size + row)                -> sample index
//
// The argument is the position: samples consumed by the whole run before this one. Epochs follow each other
// without a gap (a global batch may hold the end of one and the start of the next), so each sample comes
// exactly once per epoch. Thread-safe: an immutable value.
#pragma once
#include <cstdint>

namespace colossal::data {

enum class Shuffle { no, yes };

class SampleOrder {
 public:
  SampleOrder(int64_t num_samples, uint64_t seed, Shuffle shuffle);  // num_samples >= 1

  int64_t operator()(int64_t position) const;  // position >= 0
  int64_t epoch(int64_t position) const { return position / num_samples_; }

  int64_t num_samples() const { return num_samples_; }
  uint64_t seed() const { return seed_; }
  Shuffle shuffle() const { return shuffle_; }

 private:
  int64_t num_samples_;
  uint64_t seed_;
  Shuffle shuffle_;
};

// How a global batch is cut: rows [first_row(m), first_row(m) + microbatch_size) belong to microbatch m of
// data rank `data_rank`. All ranks' m-th microbatches together are one contiguous block, so any split of the
// same global_batch_size = microbatch_size * accumulation * data_size holds the same rows in each step.
struct BatchSplit {
  int64_t global_batch_size = 1;
  int64_t microbatch_size = 1;
  int64_t data_rank = 0;  // index in the data-parallel axis
  int64_t data_size = 1;

  // Throws ConfigError that names every broken rule.
  void validate() const;
  int64_t accumulation() const { return global_batch_size / (microbatch_size * data_size); }
  int64_t first_row(int64_t microbatch) const {
    return (microbatch * data_size + data_rank) * microbatch_size;
  }
};

}  // namespace colossal::data
