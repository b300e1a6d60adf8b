// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/model.h"

#include "colossal/models/vit/vit.h"

namespace colossal::models::vit {
namespace {

class ViT final : public Model {
 public:
  ViT(const ModelConfig& c, nn::LayerFactory& make) : Model(c, make.state()) {
    const nn::NormOptions norm = {.size = c.hidden_size, .eps = c.norm_eps};
    patches_ = register_module("patches", make.patch_embedding({.image_size = c.image.size,
                                                                .patch_size = c.image.patch,
                                                                .channels = c.image.channels,
                                                                .size = c.hidden_size,
                                                                .init_std = c.init_std}));
    positions_ = register_module(
        "positions", make.learned_positions(
                         {.num_embeddings = c.max_positions, .size = c.hidden_size, .init_std = c.init_std}));
    drop_ = register_module("drop", make.dropout(c.dropout, "embedding"));
    nn::AttentionOptions attention = attention_options(c);
    attention.causal = false;
    add_blocks({.norm = norm, .attention = attention, .mlp = mlp_options(c)}, make);
    norm_ = register_module("norm", make.norm(norm));
    classifier_ = register_module("classifier", make.classifier({.hidden = c.hidden_size,
                                                                 .num_classes = c.image.num_classes,
                                                                 .init_std = c.init_std}));
  }

  Outputs outputs(const Inputs& inputs) override { return {{"logits", classifier_->logits(hidden(inputs))}}; }
  Losses losses(const Inputs& inputs, const TargetCounts& counts) override {
    return {{"labels", classifier_->loss(hidden(inputs), input(inputs, "labels"), counts.at("labels"))}};
  }

  Scores scores(const Inputs& inputs) override {
    at::NoGradGuard no_grad;
    return {{"labels", score_of(classifier_->scores(hidden(inputs), input(inputs, "labels")))}};
  }

 private:
  at::Tensor hidden(const Inputs& inputs) {
    const at::Tensor x = positions_->forward(patches_->forward(input(inputs, "pixel_values")), 0);
    return norm_->forward(run_blocks(drop_->forward(x), {}));
  }

  std::shared_ptr<nn::UnaryLayer> patches_, drop_;
  std::shared_ptr<nn::PositionLayer> positions_;
  std::shared_ptr<nn::NormLayer> norm_;
  std::shared_ptr<nn::HeadLayer> classifier_;
};

}  // namespace

std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make) {
  return std::make_shared<ViT>(config, make);
}

}  // namespace colossal::models::vit
