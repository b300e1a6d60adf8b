// SPDX-License-Identifier: Apache-2.0
// A causal language model: token ids in; hidden states, logits or the loss out. Written in dense words, it runs in every tensor mode.
//
//   at::Tensor loss = model->loss(ids, next_tokens(ids), num_targets);     // training
//   at::Tensor logits = model->logits(ids, {.caches = &caches});            // generation, one more token at a time
//
// Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

#include "colossal/models/model_config.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::models {

// What one pass needs besides the ids.
struct Pass {
  at::Tensor key_mask = {};  // undefined, or bool [batch, positions so far]: false = padding
  std::vector<nn::KeyValueCache>* caches = nullptr;  // one per block; ids continue where they end
};

class LanguageModel : public nn::Layer {
 public:
  LanguageModel(ModelConfig config, std::shared_ptr<nn::StepState> state)
      : config_(std::move(config)), state_(std::move(state)) {}

  const ModelConfig& config() const { return config_; }
  nn::StepState& state() const { return *state_; }

  // The model in pieces: embed, each block in turn, finish, head.
  virtual int64_t num_blocks() const = 0;
  virtual at::Tensor embed(const at::Tensor& ids, const Pass& pass) = 0;  // int64 [b, s] -> [b, s, h]
  virtual at::Tensor block(int64_t index, const at::Tensor& x,
                           const Pass& pass) = 0;      // [b, s, h] -> [b, s, h]
  virtual at::Tensor finish(const at::Tensor& x) = 0;  // what the head multiplies
  virtual nn::HeadLayer& head() = 0;

  // The whole of it.
  at::Tensor hidden(const at::Tensor& ids, const Pass& pass = {});  // [b, s, h]
  at::Tensor logits(const at::Tensor& ids, const Pass& pass = {});  // [b, s, vocab]
  // labels: aligned, see nn::HeadLayer; num_targets: over the global batch.
  at::Tensor loss(const at::Tensor& ids, const at::Tensor& labels, double num_targets, const Pass& pass = {});

  // Wraps every block of hidden(): activation checkpointing, timing. Must return what `run(x)` returns.
  using RunBlock = std::function<at::Tensor(int64_t index, const at::Tensor& x,
                                            const std::function<at::Tensor(const at::Tensor&)>& run)>;
  void run_blocks_with(RunBlock run_block) { run_block_ = std::move(run_block); }

  // Empty caches for sequences of at most `capacity` positions.
  std::vector<nn::KeyValueCache> make_caches(int64_t capacity) const;

 private:
  ModelConfig config_;
  std::shared_ptr<nn::StepState> state_;
  RunBlock run_block_;
};

// Labels that predict the next token: out[b, t] = labels[b, t + 1], the last one -100. labels: int64 [b, s].
at::Tensor next_tokens(const at::Tensor& labels);

}  // namespace colossal::models
