// SPDX-License-Identifier: Apache-2.0
// BERT (Devlin et al., arXiv 1810.04805): learned positions and token types, post-norm blocks without causal mask, a head that fills in
// masked tokens, and one that tells whether the second sentence follows the first (ModelConfig::next_sentence).
//
//   auto model = models::build(models::preset("bert-base"), make);
//   at::Tensor loss = model->loss(batch, counts);      // input_ids, attention_mask, token_type_ids, labels, next_sentence_label
//
// Thread-safe: constants and pure functions.
#pragma once
#include "colossal/models/family.h"

namespace colossal::models {

Family bert_family();

namespace bert {
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
std::vector<Preset> presets();
ModelConfig complete(ModelConfig config);
ParameterCount count(const ModelConfig& config);
ModelConfig from_foreign(const Json& json, const std::string& where);
Json to_foreign(const ModelConfig& config);
ForeignWeights foreign_weights(const ModelConfig& config);
}  // namespace bert

}  // namespace colossal::models
