// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"
#include "colossal/models/palm/palm.h"

namespace colossal::models::palm {

std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make) {
  nn::AttentionOptions attention = attention_options(config);
  attention.qkv_bias = false;
  attention.out_bias = false;
  attention.rotary = nn::RotaryOptions{inverse_frequencies(config.rope, config.head_dim)};
  MlpOptions mlp = mlp_options(config);
  mlp.activation = Activation::swiglu;
  mlp.bias = false;
  return build_decoder(
      config,
      {.block = {.arrangement = Arrangement::parallel,
                 .norm = {.size = config.hidden_size, .eps = config.norm_eps, .bias = false},
                 .attention = attention,
                 .mlp = mlp},
       // No norm behind the embedding, and the logits are scaled down: section 5 of the paper.
       .embedding_std = 1,
       .logit_scale = config.logit_scale},
      make);
}

}  // namespace colossal::models::palm
