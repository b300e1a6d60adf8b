// SPDX-License-Identifier: Apache-2.0
// ViT (Dosovitskiy et al., arXiv 2010.11929): an image as a sequence of patches behind a class token, learned positions, pre-norm blocks
// without causal mask, a classifier of the class token.
//
//   auto model = models::build(models::preset("vit-base-16"), make);
//   at::Tensor scores = model->outputs({{"pixel_values", pixels}}).at("logits");   // [b, 3, 224, 224] -> [b, 1000]
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models::vit {

Family family();
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
ForeignFormat foreign();

}  // namespace colossal::models::vit
