// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/language_model.h"

#include "colossal/base/error.h"

namespace colossal::models {

at::Tensor LanguageModel::hidden(const at::Tensor& ids, const Pass& pass) {
  if (ids.dim() != 2 || ids.scalar_type() != at::kLong) {
    throw ShapeError(fmt::format("model: ids are {} with {} dims. Allowed: int64 [batch, sequence].",
                                 c10::toString(ids.scalar_type()), ids.dim()));
  }
  at::Tensor x = embed(ids, pass);
  for (int64_t i = 0; i < num_blocks(); ++i) {
    x = run_block_ ? run_block_(i, x, [&, i](const at::Tensor& y) { return block(i, y, pass); })
                   : block(i, x, pass);
  }
  return finish(x);
}

at::Tensor LanguageModel::logits(const at::Tensor& ids, const Pass& pass) {
  return head().logits(hidden(ids, pass));
}

at::Tensor LanguageModel::loss(const at::Tensor& ids, const at::Tensor& labels, double num_targets,
                               const Pass& pass) {
  return head().loss(hidden(ids, pass), labels, num_targets);
}

std::vector<nn::KeyValueCache> LanguageModel::make_caches(int64_t capacity) const {
  return std::vector<nn::KeyValueCache>(static_cast<size_t>(num_blocks()),
                                        nn::KeyValueCache{.capacity = capacity});
}

at::Tensor next_tokens(const at::Tensor& labels) {
  at::Tensor out = at::full_like(labels, -100);
  const int64_t last = labels.size(1) - 1;
  if (last > 0) out.narrow(1, 0, last).copy_(labels.narrow(1, 1, last));
  return out;
}

}  // namespace colossal::models
