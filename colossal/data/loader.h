// SPDX-License-Identifier: Apache-2.0
// Hands out microbatches in the global order; a thread of its own prepares the next ones while the model
// computes.
//
//   Loader loader(dataset, {.split = {.global_batch_size = 16, .microbatch_size = 4}, .seed = 1});
//   for (const Batch& batch : loader) { ... }           // microbatches, step after step
//   std::vector<Batch> step = loader.next_step();       // or: the `accumulation` microbatches of one optimizer step
//
// Not thread-safe: one consumer. The position (loader.state()) goes into the checkpoint; it does not depend
// on the layout, so a run may go on with another number of ranks or another microbatch size.
#pragma once
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <vector>

#include "colossal/base/json.h"
#include "colossal/data/dataset.h"
#include "colossal/data/sample_order.h"

namespace colossal::data {

enum class Pass {
  endless,  // epoch after epoch (training)
  once,  // one epoch (validation); rows beyond the end of the last global batch have labels of -100 throughout
};

struct LoaderOptions {
  BatchSplit split;
  uint64_t seed = 0;
  Shuffle shuffle = Shuffle::yes;
  Pass pass = Pass::endless;
  int64_t prefetch = 4;  // microbatches prepared ahead, at least 1
};

class Loader {
 public:
  // Throws ConfigError for a split that does not divide, or (endless) a dataset smaller than one global
  // batch.
  Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options);
  ~Loader();
  Loader(Loader&&) noexcept;
  Loader& operator=(Loader&&) noexcept;

  // The next microbatch, or nothing when a Pass::once is over. Rethrows what the dataset threw in the
  // prefetch thread.
  std::optional<Batch> next();
  // All microbatches of the next optimizer step; empty when a Pass::once is over. Only between steps, else
  // InternalError.
  std::vector<Batch> next_step();

  const BatchSplit& split() const;
  int64_t num_samples() const;
  int64_t accumulation() const { return split().accumulation(); }
  // Optimizer steps in one epoch, the last partial one counted.
  int64_t steps_per_epoch() const;

  // Samples that the whole run has taken in completed steps; epoch() = how often the data was gone through,
  // as a fraction.
  int64_t samples_consumed() const;
  double epoch() const;

  // {"samples_consumed", "num_samples", "seed", "shuffled"}: of completed steps only.
  Json state() const;
  // Continues there. ConfigError when the state is of other data or another order, naming what changed.
  void load_state(const Json& state);
  // Starts over at a position, in samples (0 = from the beginning); used between validation passes.
  void seek(int64_t samples_consumed);

  // Seconds that next() waited for the prefetch thread since the last call of this function.
  double take_wait_seconds();

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    using pointer = const Batch*;
    using reference = const Batch&;
    Iterator() = default;
    explicit Iterator(Loader* loader) : loader_(loader) { ++*this; }
    const Batch& operator*() const { return *batch_; }
    const Batch* operator->() const { return &*batch_; }
    Iterator& operator++() {
      batch_ = loader_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    bool operator==(std::default_sentinel_t) const { return !batch_.has_value(); }

   private:
    Loader* loader_ = nullptr;
    std::optional<Batch> batch_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() { return {}; }

 private:
  class Prefetcher;
  std::unique_ptr<Prefetcher> prefetcher_;
};

}  // namespace colossal::data
