// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"
#include "colossal/models/llama/llama.h"

namespace colossal::models::llama {
namespace {

// down(silu(gate(x)) * up(x)), Shazeer 2020 (arXiv 2002.05202).
class Mlp final : public nn::UnaryLayer {
 public:
  Mlp(const ModelConfig& c, nn::LayerFactory& make) {
    gate_up_ = register_module("gate_up", make.linear({.in = c.hidden_size,
                                                       .out = {2, c.ffn_size},
                                                       .split = 1,
                                                       .bias = false,
                                                       .role = nn::Role::expand,
                                                       .init_std = c.init_std}));
    down_ = register_module("down", make.linear({.in = c.ffn_size,
                                                 .out = {c.hidden_size},
                                                 .bias = false,
                                                 .role = nn::Role::contract,
                                                 .activation = Activation::swiglu,
                                                 .init_std = residual_std(c)}));
  }
  at::Tensor forward(const at::Tensor& x) override { return down_->forward(gate_up_->forward(x)); }

 private:
  std::shared_ptr<nn::UnaryLayer> gate_up_, down_;
};

std::shared_ptr<nn::UnaryLayer> make_mlp(const ModelConfig& config, nn::LayerFactory& make) {
  return std::make_shared<Mlp>(config, make);
}

}  // namespace

std::shared_ptr<LanguageModel> build(const ModelConfig& config, nn::LayerFactory& make) {
  nn::AttentionOptions attention = attention_options(config);
  attention.qkv_bias = config.qkv_bias;
  attention.out_bias = false;
  attention.rotary = nn::RotaryOptions{inverse_frequencies(config.rope, config.head_dim)};
  return build_decoder(config,
                       {.norm = {.kind = nn::NormOptions::Kind::rms,
                                 .size = config.hidden_size,
                                 .eps = config.norm_eps,
                                 .bias = false},
                        .attention = attention,
                        .mlp = make_mlp},
                       make);
}

}  // namespace colossal::models::llama
