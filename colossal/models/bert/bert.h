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

namespace colossal::models::bert {

Family family();
std::shared_ptr<Model> build(const ModelConfig& config, nn::LayerFactory& make);
ForeignFormat foreign();

}  // namespace colossal::models::bert
