// SPDX-License-Identifier: Apache-2.0
// The pre-norm decoder: embedding, blocks of attention and MLP on a residual stream, final norm, head. A family that is one says what is
// its own; the rest, with all names of parameters and random sites, is here.
//
//   auto model = build_decoder(c, {.norm = {.size = c.hidden_size}, .attention = attention_options(c), .mlp = make_mlp}, make);
//
// Thread-safe: pure functions.
#pragma once
#include <memory>

#include "colossal/models/language_model.h"

namespace colossal::models {

struct DecoderParts {
  bool learned_positions = false;  // a table that is added to the embedding
  nn::NormOptions norm = {};       // before each branch and before the head
  nn::AttentionOptions attention = {};
  std::shared_ptr<nn::UnaryLayer> (*mlp)(const ModelConfig&, nn::LayerFactory&) = nullptr;  // one per block
};

// Weights that write to the residual stream start smaller, by the number of such writes (Radford et al. 2019).
double residual_std(const ModelConfig& config);

// The attention that the sizes, rates and deviations of `config` describe.
nn::AttentionOptions attention_options(const ModelConfig& config);

std::shared_ptr<LanguageModel> build_decoder(const ModelConfig& config, const DecoderParts& parts,
                                             nn::LayerFactory& make);

}  // namespace colossal::models
