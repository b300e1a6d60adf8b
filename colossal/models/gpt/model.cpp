// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"
#include "colossal/models/gpt/gpt.h"

namespace colossal::models::gpt {
namespace {

// down(gelu(up(x)))
class Mlp final : public nn::UnaryLayer {
 public:
  Mlp(const ModelConfig& c, nn::LayerFactory& make) {
    up_ = register_module(
        "up",
        make.linear(
            {.in = c.hidden_size, .out = {c.ffn_size}, .role = nn::Role::expand, .init_std = c.init_std}));
    down_ = register_module("down", make.linear({.in = c.ffn_size,
                                                 .out = {c.hidden_size},
                                                 .role = nn::Role::contract,
                                                 .activation = c.activation,
                                                 .init_std = residual_std(c)}));
  }
  at::Tensor forward(const at::Tensor& x) override { return down_->forward(up_->forward(x)); }

 private:
  std::shared_ptr<nn::UnaryLayer> up_, down_;
};

std::shared_ptr<nn::UnaryLayer> make_mlp(const ModelConfig& config, nn::LayerFactory& make) {
  return std::make_shared<Mlp>(config, make);
}

}  // namespace

std::shared_ptr<LanguageModel> build(const ModelConfig& config, nn::LayerFactory& make) {
  nn::AttentionOptions attention = attention_options(config);
  attention.num_kv_heads =
      config.num_heads;  // every head has its own keys and values, whatever the config says
  attention.fused_qkv = true;
  return build_decoder(config,
                       {.learned_positions = true,
                        .norm = {.size = config.hidden_size, .eps = config.norm_eps},
                        .attention = attention,
                        .mlp = make_mlp},
                       make);
}

}  // namespace colossal::models::gpt
