// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/blocks.h"

#include <cmath>

namespace colossal::models {
namespace {

class Mlp final : public nn::UnaryLayer {
 public:
  Mlp(const MlpOptions& o, nn::LayerFactory& make) {
    const bool gated = o.activation == Activation::swiglu;
    up_ = register_module(gated ? "gate_up" : "up",
                          make.linear({.in = o.hidden,
                                       .out = gated ? tensor::Shape{2, o.ffn} : tensor::Shape{o.ffn},
                                       .split = gated ? 1 : 0,
                                       .bias = o.bias,
                                       .role = nn::Role::expand,
                                       .init_std = o.init_std}));
    down_ = register_module("down", make.linear({.in = o.ffn,
                                                 .out = {o.hidden},
                                                 .bias = o.bias,
                                                 .role = nn::Role::contract,
                                                 .activation = o.activation,
                                                 .init_std = o.out_init_std}));
  }
  at::Tensor forward(const at::Tensor& x) override { return down_->forward(up_->forward(x)); }

 private:
  std::shared_ptr<nn::UnaryLayer> up_, down_;
};

}  // namespace

std::shared_ptr<nn::UnaryLayer> make_mlp(const MlpOptions& options, nn::LayerFactory& make) {
  return std::make_shared<Mlp>(options, make);
}

Block::Block(const ModelConfig& config, const BlockParts& parts, nn::LayerFactory& make,
             const std::string& site)
    : arrangement_(parts.arrangement) {
  nn::AttentionOptions attention = parts.attention;
  attention.site = site + ".attention.probabilities";
  const bool one_norm = arrangement_ == Arrangement::parallel;
  norm1_ = register_module(one_norm ? "norm" : "norm1", make.norm(parts.norm));
  attention_ = register_module("attention", make.attention(attention));
  drop1_ = register_module("drop1", make.dropout(config.dropout, site + ".attention"));
  if (!one_norm) norm2_ = register_module("norm2", make.norm(parts.norm));
  mlp_ = register_module("mlp", make_mlp(parts.mlp, make));
  drop2_ = register_module("drop2", make.dropout(config.dropout, site + ".mlp"));
}

at::Tensor Block::forward(const at::Tensor& x, const nn::AttentionContext& context) {
  const auto attend = [&](const at::Tensor& y) { return drop1_->forward(attention_->forward(y, context)); };
  const auto transform = [&](const at::Tensor& y) { return drop2_->forward(mlp_->forward(y)); };
  switch (arrangement_) {
    case Arrangement::parallel: {
      const at::Tensor normed = norm1_->forward(x);
      return x + attend(normed) + transform(normed);
    }
    case Arrangement::post_norm: {
      const at::Tensor y = norm1_->add(attend(x), x).normed;
      return norm2_->add(transform(y), y).normed;
    }
    default: {
      const auto [sum, normed] = norm2_->add(attend(norm1_->forward(x)), x);
      return sum + transform(normed);
    }
  }
}

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

MlpOptions mlp_options(const ModelConfig& config) {
  return {.hidden = config.hidden_size,
          .ffn = config.ffn_size,
          .activation = config.activation,
          .init_std = config.init_std,
          .out_init_std = residual_std(config)};
}

}  // namespace colossal::models
