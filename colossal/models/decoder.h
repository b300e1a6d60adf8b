// SPDX-License-Identifier: Apache-2.0
// A causal language model of blocks on a residual stream: embedding, blocks, final norm, head. A family that is one says what is its own;
// the rest, with all names of parameters and random sites, is here.
//
//   auto model = build_decoder(c, {.block = {.norm = norm, .attention = attention_options(c), .mlp = mlp_options(c)}}, make);
//
// Thread-safe: pure functions.
#pragma once
#include <memory>

#include "colossal/models/language_model.h"

namespace colossal::models {

struct DecoderParts {
  bool learned_positions = false;  // a table that is added to the embedding
  BlockParts block = {};           // its norm is also the one before the head
  double embedding_std = 0.02;
  double logit_scale = 1;
};

std::shared_ptr<LanguageModel> build_decoder(const ModelConfig& config, const DecoderParts& parts,
                                             nn::LayerFactory& make);

}  // namespace colossal::models
