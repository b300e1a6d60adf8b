// SPDX-License-Identifier: Apache-2.0
// The Llama family (Llama 1 to 3, Qwen2): rotary positions, RMS norm before each branch, SwiGLU, grouped-query attention.
// Qwen2 differs in its query, key and value biases.
//
//   auto model = models::build(models::preset("llama3-8b"), make);
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models::llama {

Family family();
Family qwen2_family();
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
ForeignFormat foreign();

}  // namespace colossal::models::llama
