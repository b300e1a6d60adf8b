// SPDX-License-Identifier: Apache-2.0
// The Llama family (Llama 1 to 3, Qwen2): rotary positions, RMS norm before each branch, SwiGLU, grouped-query attention.
// Qwen2 differs in its query, key and value biases.
//
//   auto model = models::build(models::preset("llama3-8b"), make);
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models {

Family llama_family();
Family qwen2_family();

namespace llama {
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
std::vector<Preset> llama_presets();
std::vector<Preset> qwen2_presets();
ModelConfig complete(ModelConfig config);
ParameterCount count(const ModelConfig& config);
ModelConfig llama_from_foreign(const Json& json, const std::string& where);
ModelConfig qwen2_from_foreign(const Json& json, const std::string& where);
Json to_foreign(const ModelConfig& config);
ForeignWeights foreign_weights(const ModelConfig& config);
}  // namespace llama

}  // namespace colossal::models
