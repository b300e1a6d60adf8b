// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/embedding.h"

namespace colossal::nn {
DenseEmbedding::DenseEmbedding(LayerContextPtr context, const EmbeddingOptions& options)
    : context_(std::move(context)) {
  const tensor::Shape shape = {options.num_embeddings, options.size};
  weight_ = add_parameter("weight", shape, context_->replicated(shape, Init::normal(options.init_std), true),
                          context_->parameter_options());
}

at::Tensor DenseEmbedding::forward(const at::Tensor& ids) {
  return functional::embedding(ids, weight_, context_->compute, deferred_);
}

const functional::DeferredRowsPtr& DenseEmbedding::share_gradient() {
  if (!deferred_ && weight_.requires_grad()) {
    deferred_ = std::make_shared<functional::DeferredRows>();
    deferred_->attach(weight_);
  }
  return deferred_;
}

}  // namespace colossal::nn
