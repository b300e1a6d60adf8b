// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/model.h"

#include "colossal/models/bert/bert.h"

namespace colossal::models::bert {
namespace {

class Bert final : public Model {
 public:
  Bert(const ModelConfig& c, nn::LayerFactory& make) : Model(c, make.state()) {
    const nn::NormOptions norm = {.size = c.hidden_size, .eps = c.norm_eps};
    const auto table = [&](int64_t rows) -> nn::EmbeddingOptions {
      return {.num_embeddings = rows, .size = c.hidden_size, .init_std = c.init_std};
    };
    embedding_ = register_module("embedding", make.embedding(table(c.vocab_size)));
    positions_ = register_module("positions", make.learned_positions(table(c.max_positions)));
    types_ = register_module("types", make.token_types(table(c.num_token_types)));
    embedding_norm_ = register_module("embedding_norm", make.norm(norm));
    drop_ = register_module("drop", make.dropout(c.dropout, "embedding"));
    add_blocks(block_parts(c, norm), make);
    transform_ = register_module(
        "transform",
        make.linear(
            {.in = c.hidden_size, .out = {c.hidden_size}, .role = nn::Role::keep, .init_std = c.init_std}));
    transform_norm_ = register_module("transform_norm", make.norm(norm));
    head_ = register_module("head", make.head({.hidden = c.hidden_size,
                                               .vocab_size = c.vocab_size,
                                               .bias = true,
                                               .init_std = c.init_std,
                                               .tied_embedding = c.tie_embeddings ? embedding_ : nullptr}));
    targets_ = register_module("targets", make.targets());  // most tokens are not masked
    if (!c.next_sentence) return;
    next_sentence_ = register_module(
        "next_sentence",
        make.classifier({.hidden = c.hidden_size, .num_classes = 2, .pooled = true, .init_std = c.init_std}));
  }

  Outputs outputs(const Inputs& inputs) override {
    const at::Tensor x = hidden(inputs);
    Outputs outputs = {{"logits", head_->logits(transformed(x))}};
    if (next_sentence_) outputs["seq_relationship_logits"] = next_sentence_->logits(x);
    return outputs;
  }
  Losses losses(const Inputs& inputs, const TargetCounts& counts) override {
    const at::Tensor x = hidden(inputs);
    const auto [masked, labels] = targets_->forward(x, input(inputs, "labels"));
    Losses losses = {{"labels", head_->loss(transformed(masked), labels, counts.at("labels"))}};
    if (next_sentence_)
      losses["next_sentence_label"] =
          next_sentence_->loss(x, input(inputs, "next_sentence_label"), counts.at("next_sentence_label"));
    return losses;
  }
  Scores scores(const Inputs& inputs) override {
    at::NoGradGuard no_grad;
    const at::Tensor x = hidden(inputs);
    const auto [masked, labels] = targets_->forward(x, input(inputs, "labels"));
    Scores scores = {{"labels", score_of(head_->scores(transformed(masked), labels))}};
    if (next_sentence_)
      scores["next_sentence_label"] =
          score_of(next_sentence_->scores(x, input(inputs, "next_sentence_label")));
    return scores;
  }

 private:
  // Without the growth of the residual stream there is no need for smaller weights at its writers.
  static BlockParts block_parts(const ModelConfig& c, const nn::NormOptions& norm) {
    nn::AttentionOptions attention = attention_options(c);
    attention.causal = false;
    attention.out_init_std = c.init_std;
    MlpOptions mlp = mlp_options(c);
    mlp.out_init_std = c.init_std;
    return {.arrangement = Arrangement::post_norm, .norm = norm, .attention = attention, .mlp = mlp};
  }

  at::Tensor hidden(const Inputs& inputs) {
    const at::Tensor& ids = input(inputs, "input_ids");
    check_ids(ids);
    const at::Tensor placed = positions_->forward(embedding_->forward(ids), 0);
    const at::Tensor x = types_->forward(placed, optional_input(inputs, "token_type_ids"));
    return run_blocks(drop_->forward(embedding_norm_->forward(x)), {.key_mask = key_mask(inputs)});
  }
  at::Tensor transformed(const at::Tensor& x) {
    return transform_norm_->forward(nn::functional::activation(transform_->forward(x), config().activation));
  }

  std::shared_ptr<nn::UnaryLayer> embedding_, drop_, transform_;
  std::shared_ptr<nn::PositionLayer> positions_;
  std::shared_ptr<nn::TokenTypeLayer> types_;
  std::shared_ptr<nn::NormLayer> embedding_norm_, transform_norm_;
  std::shared_ptr<nn::TargetsLayer> targets_;
  std::shared_ptr<nn::HeadLayer> head_, next_sentence_;  // the second may be null
};

}  // namespace

std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make) {
  return std::make_shared<Bert>(config, make);
}

}  // namespace colossal::models::bert
