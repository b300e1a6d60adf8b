// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"
#include "colossal/models/llama/llama.h"

namespace colossal::models::llama {

std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make) {
  nn::AttentionOptions attention = attention_options(config);
  attention.qkv_bias = config.qkv_bias;
  attention.out_bias = false;
  attention.rotary = nn::RotaryOptions{inverse_frequencies(config.rope, config.head_dim)};
  MlpOptions mlp = mlp_options(config);
  mlp.activation = Activation::swiglu;
  mlp.bias = false;
  return build_decoder(config,
                       {.block = {.norm = {.kind = nn::NormOptions::Kind::rms,
                                           .size = config.hidden_size,
                                           .eps = config.norm_eps,
                                           .bias = false},
                                  .attention = attention,
                                  .mlp = mlp},
                        .embedding_std = config.init_std},
                       make);
}

}  // namespace colossal::models::llama
