// SPDX-License-Identifier: Apache-2.0
// What changes from one forward pass to the next and that layers must see. Owned by the run, shared by all layers of a model.
//
//   auto state = std::make_shared<nn::StepState>(nn::StepState{.seed = 1});
//   state->step = 7; state->first_row = 32;      // set by the engine before each forward pass
//
// Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <utility>

namespace colossal::nn {

struct StepState {
  uint64_t seed = 0;
  int64_t step = 0;         // optimizer step: part of every dropout key
  int64_t global_rows = 1;  // sequences in the global batch of this step
  int64_t first_row = 0;    // global row of row 0 of this pass's (data-parallel) micro-batch
  bool training = true;     // false: no dropout
  // Of this pass, before any padding: a rank's part of an activation alone does not tell. Set by the embedding of a tensor mode.
  int64_t num_rows = 0;
  int64_t sequence_length = 0;
  // On meta, where labels cannot be read: which of this pass are targets, bool [b, s] on the CPU. Undefined: all of them.
  at::Tensor targets = {};
};

// Not training for its lifetime: no dropout.
class EvaluationScope {
 public:
  explicit EvaluationScope(StepState& state)
      : state_(state), was_training_(std::exchange(state.training, false)) {}
  ~EvaluationScope() { state_.training = was_training_; }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  StepState& state_;
  bool was_training_;
};

}  // namespace colossal::nn
