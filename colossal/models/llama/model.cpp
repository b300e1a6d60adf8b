// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "colossal/models/llama/llama.h"
#include "colossal/nn/functional/activation.h"

namespace colossal::models::llama {
namespace {

double residual_std(const ModelConfig& c) {
  return c.init_std / std::sqrt(2.0 * static_cast<double>(c.num_layers));
}

nn::NormOptions norm_of(const ModelConfig& c) {
  return {.kind = nn::NormOptions::Kind::rms, .size = c.hidden_size, .eps = c.norm_eps, .bias = false};
}

// down(silu(gate(x)) * up(x)), Shazeer 2020 (arXiv 2002.05202).
class Mlp : public nn::UnaryLayer {
 public:
  Mlp(const ModelConfig& c, nn::LayerFactory& make) {
    gate_up_ = register_module("gate_up", make.linear({.in = c.hidden_size,
                                                       .out = 2 * c.ffn_size,
                                                       .bias = false,
                                                       .role = nn::Role::expand,
                                                       .fused = 2,
                                                       .init_std = c.init_std}));
    down_ = register_module("down", make.linear({.in = c.ffn_size,
                                                 .out = c.hidden_size,
                                                 .bias = false,
                                                 .role = nn::Role::contract,
                                                 .init_std = residual_std(c)}));
  }
  at::Tensor forward(const at::Tensor& x) override {
    return down_->forward(nn::functional::swiglu(gate_up_->forward(x)));
  }

 private:
  std::shared_ptr<nn::UnaryLayer> gate_up_, down_;
};

class Block : public nn::Layer {
 public:
  Block(const ModelConfig& c, nn::LayerFactory& make, const std::string& site) {
    norm1_ = register_module("norm1", make.norm(norm_of(c)));
    attention_ = register_module(
        "attention", make.attention({.hidden = c.hidden_size,
                                     .num_heads = c.num_heads,
                                     .num_kv_heads = c.num_kv_heads,
                                     .head_dim = c.head_dim,
                                     .qkv_bias = c.qkv_bias,
                                     .out_bias = false,
                                     .fused_qkv = c.num_kv_heads == c.num_heads,
                                     .dropout = c.attention_dropout,
                                     .site = site + ".attention.probabilities",
                                     .rotary = nn::RotaryOptions{inverse_frequencies(c.rope, c.head_dim)},
                                     .init_std = c.init_std,
                                     .out_init_std = residual_std(c)}));
    drop1_ = register_module("drop1", make.dropout(c.dropout, site + ".attention"));
    norm2_ = register_module("norm2", make.norm(norm_of(c)));
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

class Llama final : public LanguageModel {
 public:
  Llama(const ModelConfig& c, nn::LayerFactory& make) : LanguageModel(c, make.state()) {
    embedding_ = register_module(
        "embedding",
        make.embedding({.num_embeddings = c.vocab_size, .size = c.hidden_size, .init_std = c.init_std}));
    drop_ = register_module("drop", make.dropout(c.dropout, "embedding"));
    auto blocks = register_module("blocks", std::make_shared<nn::Layer>());
    for (int64_t i = 0; i < c.num_layers; ++i) {
      const std::string index = std::to_string(i);
      blocks_.push_back(blocks->register_module(index, std::make_shared<Block>(c, make, "blocks." + index)));
    }
    norm_ = register_module("norm", make.norm(norm_of(c)));
    head_ = register_module("head", make.head({.hidden = c.hidden_size,
                                               .vocab_size = c.vocab_size,
                                               .init_std = c.init_std,
                                               .tied_embedding = c.tie_embeddings ? embedding_ : nullptr}));
  }

  int64_t num_blocks() const override { return static_cast<int64_t>(blocks_.size()); }
  at::Tensor embed(const at::Tensor& ids, const Pass&) override {
    return drop_->forward(embedding_->forward(ids));
  }
  at::Tensor block(int64_t index, const at::Tensor& x, const Pass& pass) override {
    return blocks_[index]->forward(x, {pass.key_mask, pass.caches ? &(*pass.caches)[index] : nullptr});
  }
  at::Tensor finish(const at::Tensor& x) override { return norm_->forward(x); }
  nn::HeadLayer& head() override { return *head_; }

 private:
  std::shared_ptr<nn::UnaryLayer> embedding_, drop_;
  std::vector<std::shared_ptr<Block>> blocks_;
  std::shared_ptr<nn::NormLayer> norm_;
  std::shared_ptr<nn::HeadLayer> head_;
};

}  // namespace

std::shared_ptr<LanguageModel> build(const ModelConfig& config, nn::LayerFactory& make) {
  return std::make_shared<Llama>(config, make);
}

}  // namespace colossal::models::llama
