// SPDX-License-Identifier: Apache-2.0
// A causal language model: token ids in; hidden states, logits or the loss out.
//
//   at::Tensor loss = model->loss(ids, next_tokens(ids), num_targets);     // training
//   at::Tensor logits = model->logits(ids, {.caches = &caches});            // generation, one more token at a time
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/models/model.h"

namespace colossal::models {

class LanguageModel : public Model {
 public:
  using Model::Model;

  // The model in pieces: embed, each block in turn, finish, head.
  virtual at::Tensor embed(const at::Tensor& ids, const Pass& pass) = 0;  // int64 [b, s] -> [b, s, h]
  virtual at::Tensor finish(const at::Tensor& x) = 0;                     // what the head multiplies
  virtual nn::HeadLayer& head() = 0;

  // The whole of it.
  at::Tensor hidden(const at::Tensor& ids, const Pass& pass = {});  // [b, s, h]
  at::Tensor logits(const at::Tensor& ids, const Pass& pass = {});  // [b, s, vocab]
  using Model::loss;
  // labels: aligned, see nn::HeadLayer; num_targets: over the global batch.
  at::Tensor loss(const at::Tensor& ids, const at::Tensor& labels, double num_targets, const Pass& pass = {});

  // "input_ids", "attention_mask"; "labels" are aligned, too (next_tokens).
  Outputs outputs(const Inputs& inputs) override;
  Losses losses(const Inputs& inputs, const TargetCounts& counts) override;
  Scores scores(const Inputs& inputs) override;

  // Empty caches for sequences of at most `capacity` positions.
  std::vector<nn::KeyValueCache> make_caches(int64_t capacity) const;
};

// Labels that predict the next token: out[b, t] = labels[b, t + 1], the last one -100. labels: int64 [b, s].
at::Tensor next_tokens(const at::Tensor& labels);

}  // namespace colossal::models
