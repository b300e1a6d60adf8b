// SPDX-License-Identifier: Apache-2.0
// The GPT-2 family: learned positions, layer norm before each branch, GELU, biases, head tied to the embedding or not.
//
//   auto model = models::build(models::preset("gpt2-124m"), make);
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models::gpt {

Family family();
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
ForeignFormat foreign();

}  // namespace colossal::models::gpt
