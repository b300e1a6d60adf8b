// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/decoder.h"
#include "colossal/models/gpt/gpt.h"

namespace colossal::models::gpt {

std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make) {
  nn::AttentionOptions attention = attention_options(config);
  attention.num_kv_heads =
      config.num_heads;  // every head has its own keys and values, whatever the config says
  attention.fused_qkv = true;
  return build_decoder(config,
                       {.learned_positions = true,
                        .block = {.norm = {.size = config.hidden_size, .eps = config.norm_eps},
                                  .attention = attention,
                                  .mlp = mlp_options(config)},
                        .embedding_std = config.init_std},
                       make);
}

}  // namespace colossal::models::gpt
