// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/language_model.h"

namespace colossal::models {

at::Tensor LanguageModel::hidden(const at::Tensor& ids, const Pass& pass) {
  check_ids(ids);
  return finish(run_blocks(embed(ids, pass), pass));
}

at::Tensor LanguageModel::logits(const at::Tensor& ids, const Pass& pass) {
  return head().logits(hidden(ids, pass));
}

at::Tensor LanguageModel::loss(const at::Tensor& ids, const at::Tensor& labels, double num_targets,
                               const Pass& pass) {
  return head().loss(hidden(ids, pass), labels, num_targets);
}

Outputs LanguageModel::outputs(const Inputs& inputs) {
  return {{"logits", logits(input(inputs, "input_ids"), {.key_mask = key_mask(inputs)})}};
}

Losses LanguageModel::losses(const Inputs& inputs, const TargetCounts& counts) {
  return {{"labels", loss(input(inputs, "input_ids"), input(inputs, "labels"), counts.at("labels"),
                          {.key_mask = key_mask(inputs)})}};
}

Scores LanguageModel::scores(const Inputs& inputs) {
  at::NoGradGuard no_grad;
  const at::Tensor x = hidden(input(inputs, "input_ids"), {.key_mask = key_mask(inputs)});
  return {{"labels", score_of(head().scores(x, input(inputs, "labels")))}};
}

std::vector<nn::KeyValueCache> LanguageModel::make_caches(int64_t capacity) const {
  return std::vector<nn::KeyValueCache>(static_cast<size_t>(num_blocks()),
                                        nn::KeyValueCache{.capacity = capacity});
}

at::Tensor next_tokens(const at::Tensor& labels) {
  at::Tensor out = at::full_like(labels, kIgnored);
  const int64_t last = labels.size(1) - 1;
  if (last > 0) out.narrow(1, 0, last).copy_(labels.narrow(1, 1, last));
  return out;
}

}  // namespace colossal::models
