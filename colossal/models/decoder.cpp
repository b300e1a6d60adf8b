// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"

namespace colossal::models {
namespace {

class Decoder final : public LanguageModel {
 public:
  Decoder(const ModelConfig& c, const DecoderParts& parts, nn::LayerFactory& make)
      : LanguageModel(c, make.state()), logit_scale_(parts.logit_scale) {
    embedding_ = register_module("embedding", make.embedding({.num_embeddings = c.vocab_size,
                                                              .size = c.hidden_size,
                                                              .init_std = parts.embedding_std}));
    if (parts.learned_positions) {
      positions_ = register_module("positions", make.learned_positions({.num_embeddings = c.max_positions,
                                                                        .size = c.hidden_size,
                                                                        .init_std = c.init_std}));
    }
    drop_ = register_module("drop", make.dropout(c.dropout, "embedding"));
    add_blocks(parts.block, make);
    norm_ = register_module("norm", make.norm(parts.block.norm));
    head_ = register_module("head", make.head({.hidden = c.hidden_size,
                                               .vocab_size = c.vocab_size,
                                               .init_std = parts.embedding_std,
                                               .tied_embedding = c.tie_embeddings ? embedding_ : nullptr}));
  }

  at::Tensor embed(const at::Tensor& ids, const Pass& pass) override {
    at::Tensor x = embedding_->forward(ids);
    if (positions_) x = positions_->forward(x, pass.caches ? pass.caches->front().length : 0);
    return drop_->forward(x);
  }
  at::Tensor finish(const at::Tensor& x) override {
    const at::Tensor y = norm_->forward(x);
    return logit_scale_ == 1 ? y : y * logit_scale_;
  }
  nn::HeadLayer& head() override { return *head_; }

 private:
  double logit_scale_;
  std::shared_ptr<nn::UnaryLayer> embedding_, drop_;
  std::shared_ptr<nn::PositionLayer> positions_;  // null where the attention rotates instead
  std::shared_ptr<nn::NormLayer> norm_;
  std::shared_ptr<nn::HeadLayer> head_;
};

}  // namespace

std::shared_ptr<LanguageModel> build_decoder(const ModelConfig& config, const DecoderParts& parts,
                                             nn::LayerFactory& make) {
  return std::make_shared<Decoder>(config, parts, make);
}

}  // namespace colossal::models
