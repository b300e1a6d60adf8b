// SPDX-License-Identifier: Apache-2.0
// A model of any family: inputs by name in, scores or the loss out. Written in dense words, it runs in every tensor mode.
//
//   std::shared_ptr<Model> model = build(config, make);
//   at::Tensor loss = model->loss(batch, counts);                 // counts: of the global batch, see inputs.h
//   at::Tensor scores = model->outputs(batch).at("logits");
//
// Thread safety: one rank, one thread.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "colossal/models/blocks.h"
#include "colossal/models/inputs.h"
#include "colossal/models/model_config.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::models {

// What one pass needs besides what is embedded.
struct Pass {
  at::Tensor key_mask = {};  // undefined, or bool [batch, positions so far]: false = padding
  std::vector<nn::KeyValueCache>* caches = nullptr;  // one per block; ids continue where they end
};

// How the targets of one kind of labels are met: sums over those of this rank's replica, 0-d, fp64.
struct Score {
  at::Tensor log_prob;  // of log p(label)
  at::Tensor right;     // of those than which no other class scores higher
};
Score score_of(const nn::functional::TokenScores& scores);
using Scores = std::map<std::string, Score>;  // by the name of the labels
// By the name of the labels: (sum of -log p(label)) / count, 0-d, fp32 or wider.
using Losses = std::map<std::string, at::Tensor>;

class Model : public nn::Layer {
 public:
  Model(ModelConfig config, std::shared_ptr<nn::StepState> state)
      : config_(std::move(config)), state_(std::move(state)) {}

  const ModelConfig& config() const { return config_; }
  nn::StepState& state() const { return *state_; }

  // Which inputs there are says models::inputs_of (family.h). "logits", and what else the model scores.
  virtual Outputs outputs(const Inputs& inputs) = 0;
  // counts: over the global batch, so that the losses (and gradients) of data-parallel ranks and microbatches add up.
  virtual Losses losses(const Inputs& inputs, const TargetCounts& counts) = 0;
  // Their sum.
  at::Tensor loss(const Inputs& inputs, const TargetCounts& counts);
  // For evaluation: no gradient.
  virtual Scores scores(const Inputs& inputs) = 0;

  int64_t num_blocks() const { return static_cast<int64_t>(blocks_.size()); }
  at::Tensor block(int64_t index, const at::Tensor& x, const Pass& pass);  // [b, s, h] -> [b, s, h]

  // Wraps every block: activation checkpointing, timing. Must return what `run(x)` returns.
  using RunBlock = std::function<at::Tensor(int64_t index, const at::Tensor& x,
                                            const std::function<at::Tensor(const at::Tensor&)>& run)>;
  void run_blocks_with(RunBlock run_block) { run_block_ = std::move(run_block); }

 protected:
  // Registers config().num_layers of them as "blocks".
  void add_blocks(const BlockParts& parts, nn::LayerFactory& make);
  at::Tensor run_blocks(at::Tensor x, const Pass& pass);

 private:
  ModelConfig config_;
  std::shared_ptr<nn::StepState> state_;
  std::vector<std::shared_ptr<Block>> blocks_;
  RunBlock run_block_;
};

}  // namespace colossal::models
