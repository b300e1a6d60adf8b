// SPDX-License-Identifier: Apache-2.0
// PaLM (Chowdhery et al., arXiv 2204.02311): attention and MLP side by side behind one layer norm, one head of keys and values for all
// queries, SwiGLU, rotary positions, no biases; the head is the embedding, its logits scaled.
//
//   auto model = models::build(models::preset("palm-8b"), make);
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models::palm {

Family family();
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
ForeignFormat foreign();

}  // namespace colossal::models::palm
