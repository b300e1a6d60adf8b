// SPDX-License-Identifier: Apache-2.0
// The GPT-2 family: learned positions, layer norm before each branch, GELU, biases, head tied to the embedding or not.
//
//   auto model = models::build(models::preset("gpt2-124m"), make);
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models {

Family gpt_family();

namespace gpt {
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
std::vector<Preset> presets();
ModelConfig complete(ModelConfig config);
ParameterCount count(const ModelConfig& config);
ModelConfig from_foreign(const Json& json, const std::string& where);
Json to_foreign(const ModelConfig& config);
ForeignWeights foreign_weights(const ModelConfig& config);
}  // namespace gpt

}  // namespace colossal::models
