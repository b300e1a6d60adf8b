// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/model.h"

namespace colossal::models {

Score score_of(const nn::functional::TokenScores& scores) {
  return {scores.log_probs.sum(at::kDouble), scores.right.sum(at::kDouble)};
}

at::Tensor Model::loss(const Inputs& inputs, const TargetCounts& counts) {
  at::Tensor sum;
  for (const auto& [labels, part] : losses(inputs, counts)) sum = sum.defined() ? sum + part : part;
  return sum;
}

void Model::add_blocks(const BlockParts& parts, nn::LayerFactory& make) {
  auto list = register_module("blocks", std::make_shared<nn::Layer>());
  for (int64_t i = 0; i < config_.num_layers; ++i) {
    const std::string index = std::to_string(i);
    blocks_.push_back(
        list->register_module(index, std::make_shared<Block>(config_, parts, make, "blocks." + index)));
  }
}

at::Tensor Model::block(int64_t index, const at::Tensor& x, const Pass& pass) {
  return blocks_[index]->forward(x, {pass.key_mask, pass.caches ? &(*pass.caches)[index] : nullptr});
}

at::Tensor Model::run_blocks(at::Tensor x, const Pass& pass) {
  for (int64_t i = 0; i < num_blocks(); ++i) {
    x = run_block_ ? run_block_(i, x, [&, i](const at::Tensor& y) { return block(i, y, pass); })
                   : block(i, x, pass);
  }
  return x;
}

}  // namespace colossal::models
