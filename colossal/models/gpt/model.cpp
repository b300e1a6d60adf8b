// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "colossal/models/gpt/gpt.h"
#include "colossal/nn/functional/activation.h"

namespace colossal::models::gpt {
namespace {

// Radford et al. 2019: weights that write to the residual stream start smaller, by the number of such writes.
double residual_std(const ModelConfig& c) {
  return c.init_std / std::sqrt(2.0 * static_cast<double>(c.num_layers));
}

class Mlp : public nn::UnaryLayer {
 public:
  Mlp(const ModelConfig& c, nn::LayerFactory& make) : activation_(c.activation) {
    up_ = register_module(
        "up",
        make.linear(
            {.in = c.hidden_size, .out = c.ffn_size, .role = nn::Role::expand, .init_std = c.init_std}));
    down_ = register_module("down", make.linear({.in = c.ffn_size,
                                                 .out = c.hidden_size,
                                                 .role = nn::Role::contract,
                                                 .init_std = residual_std(c)}));
  }
  at::Tensor forward(const at::Tensor& x) override {
    const at::Tensor up = up_->forward(x);
    return down_->forward(activation_ == Activation::gelu_tanh ? nn::functional::gelu_tanh(up)
                                                               : nn::functional::gelu_erf(up));
  }

 private:
  Activation activation_;
  std::shared_ptr<nn::UnaryLayer> up_, down_;
};

class Block : public nn::Layer {
 public:
  Block(const ModelConfig& c, nn::LayerFactory& make, const std::string& site) {
    const nn::NormOptions norm = {.size = c.hidden_size, .eps = c.norm_eps};
    norm1_ = register_module("norm1", make.norm(norm));
    attention_ = register_module("attention", make.attention({.hidden = c.hidden_size,
                                                              .num_heads = c.num_heads,
                                                              .num_kv_heads = c.num_heads,
                                                              .head_dim = c.head_dim,
                                                              .fused_qkv = true,
                                                              .dropout = c.attention_dropout,
                                                              .site = site + ".attention.probabilities",
                                                              .init_std = c.init_std,
                                                              .out_init_std = residual_std(c)}));
    drop1_ = register_module("drop1", make.dropout(c.dropout, site + ".attention"));
    norm2_ = register_module("norm2", make.norm(norm));
    mlp_ = register_module("mlp", std::make_shared<Mlp>(c, make));
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

class Gpt final : public LanguageModel {
 public:
  Gpt(const ModelConfig& c, nn::LayerFactory& make) : LanguageModel(c, make.state()) {
    embedding_ = register_module(
        "embedding",
        make.embedding({.num_embeddings = c.vocab_size, .size = c.hidden_size, .init_std = c.init_std}));
    positions_ = register_module(
        "positions", make.learned_positions(
                         {.num_embeddings = c.max_positions, .size = c.hidden_size, .init_std = c.init_std}));
    drop_ = register_module("drop", make.dropout(c.dropout, "embedding"));
    auto blocks = register_module("blocks", std::make_shared<nn::Layer>());
    for (int64_t i = 0; i < c.num_layers; ++i) {
      const std::string index = std::to_string(i);
      blocks_.push_back(blocks->register_module(index, std::make_shared<Block>(c, make, "blocks." + index)));
    }
    norm_ = register_module("norm", make.norm({.size = c.hidden_size, .eps = c.norm_eps}));
    head_ = register_module("head", make.head({.hidden = c.hidden_size,
                                               .vocab_size = c.vocab_size,
                                               .init_std = c.init_std,
                                               .tied_embedding = c.tie_embeddings ? embedding_ : nullptr}));
  }

  int64_t num_blocks() const override { return static_cast<int64_t>(blocks_.size()); }
  at::Tensor embed(const at::Tensor& ids, const Pass& pass) override {
    const int64_t offset = pass.caches ? pass.caches->front().length : 0;
    return drop_->forward(positions_->forward(embedding_->forward(ids), offset));
  }
  at::Tensor block(int64_t index, const at::Tensor& x, const Pass& pass) override {
    return blocks_[index]->forward(x, {pass.key_mask, pass.caches ? &(*pass.caches)[index] : nullptr});
  }
  at::Tensor finish(const at::Tensor& x) override { return norm_->forward(x); }
  nn::HeadLayer& head() override { return *head_; }

 private:
  std::shared_ptr<nn::UnaryLayer> embedding_, drop_;
  std::shared_ptr<nn::PositionLayer> positions_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<nn::NormLayer> norm_;
  std::shared_ptr<nn::HeadLayer> head_;
};

}  // namespace

std::shared_ptr<LanguageModel> build(const ModelConfig& config, nn::LayerFactory& make) {
  return std::make_shared<Gpt>(config, make);
}

}  // namespace colossal::models::gpt
