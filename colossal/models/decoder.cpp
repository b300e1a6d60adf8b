// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"

#include <cmath>

namespace colossal::models {
namespace {

// x + attention(norm1(x)), then y + mlp(norm2(y)); dropout on both branches.
class DecoderBlock final : public nn::Layer {
 public:
  DecoderBlock(const ModelConfig& c, const DecoderParts& parts, nn::LayerFactory& make,
               const std::string& site) {
    nn::AttentionOptions attention = parts.attention;
    attention.site = site + ".attention.probabilities";
    norm1_ = register_module("norm1", make.norm(parts.norm));
    attention_ = register_module("attention", make.attention(attention));
    drop1_ = register_module("drop1", make.dropout(c.dropout, site + ".attention"));
    norm2_ = register_module("norm2", make.norm(parts.norm));
    mlp_ = register_module("mlp", parts.mlp(c, make));
    drop2_ = register_module("drop2", make.dropout(c.dropout, site + ".mlp"));
  }
  at::Tensor forward(const at::Tensor& x, const nn::AttentionContext& context) {
    const at::Tensor attended = drop1_->forward(attention_->forward(norm1_->forward(x), context));
    const auto [sum, normed] = norm2_->add(attended, x);
    return sum + drop2_->forward(mlp_->forward(normed));
  }

 private:
  std::shared_ptr<nn::NormLayer> norm1_, norm2_;
  std::shared_ptr<nn::AttentionLayer> attention_;
  std::shared_ptr<nn::UnaryLayer> mlp_, drop1_, drop2_;
};

class Decoder final : public LanguageModel {
 public:
  Decoder(const ModelConfig& c, const DecoderParts& parts, nn::LayerFactory& make)
      : LanguageModel(c, make.state()) {
    const auto table = [&](int64_t rows) -> nn::EmbeddingOptions {
      return {.num_embeddings = rows, .size = c.hidden_size, .init_std = c.init_std};
    };
    embedding_ = register_module("embedding", make.embedding(table(c.vocab_size)));
    if (parts.learned_positions)
      positions_ = register_module("positions", make.learned_positions(table(c.max_positions)));
    drop_ = register_module("drop", make.dropout(c.dropout, "embedding"));
    auto blocks = register_module("blocks", std::make_shared<nn::Layer>());
    for (int64_t i = 0; i < c.num_layers; ++i) {
      const std::string index = std::to_string(i);
      blocks_.push_back(
          blocks->register_module(index, std::make_shared<DecoderBlock>(c, parts, make, "blocks." + index)));
    }
    norm_ = register_module("norm", make.norm(parts.norm));
    head_ = register_module("head", make.head({.hidden = c.hidden_size,
                                               .vocab_size = c.vocab_size,
                                               .init_std = c.init_std,
                                               .tied_embedding = c.tie_embeddings ? embedding_ : nullptr}));
  }

  int64_t num_blocks() const override { return static_cast<int64_t>(blocks_.size()); }
  at::Tensor embed(const at::Tensor& ids, const Pass& pass) override {
    at::Tensor x = embedding_->forward(ids);
    if (positions_) x = positions_->forward(x, pass.caches ? pass.caches->front().length : 0);
    return drop_->forward(x);
  }
  at::Tensor block(int64_t index, const at::Tensor& x, const Pass& pass) override {
    return blocks_[index]->forward(x, {pass.key_mask, pass.caches ? &(*pass.caches)[index] : nullptr});
  }
  at::Tensor finish(const at::Tensor& x) override { return norm_->forward(x); }
  nn::HeadLayer& head() override { return *head_; }

 private:
  std::shared_ptr<nn::UnaryLayer> embedding_, drop_;
  std::shared_ptr<nn::PositionLayer> positions_;  // null where the attention rotates instead
  std::vector<std::shared_ptr<DecoderBlock>> blocks_;
  std::shared_ptr<nn::NormLayer> norm_;
  std::shared_ptr<nn::HeadLayer> head_;
};

}  // namespace

double residual_std(const ModelConfig& config) {
  return config.init_std / std::sqrt(2.0 * static_cast<double>(config.num_layers));
}

nn::AttentionOptions attention_options(const ModelConfig& config) {
  return {.hidden = config.hidden_size,
          .num_heads = config.num_heads,
          .num_kv_heads = config.num_kv_heads,
          .head_dim = config.head_dim,
          .fused_qkv = config.num_kv_heads == config.num_heads,
          .dropout = config.attention_dropout,
          .init_std = config.init_std,
          .out_init_std = residual_std(config)};
}

std::shared_ptr<LanguageModel> build_decoder(const ModelConfig& config, const DecoderParts& parts,
                                             nn::LayerFactory& make) {
  return std::make_shared<Decoder>(config, parts, make);
}

}  // namespace colossal::models
