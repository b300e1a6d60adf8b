// SPDX-License-Identifier: Apache-2.0
// Token embedding on one device.
//
//   at::Tensor x = tokens->forward(ids);   // int64 [b, s] -> [b, s, h] in the compute dtype
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/functional/embedding.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseEmbedding final : public UnaryLayer {
 public:
  DenseEmbedding(LayerContextPtr context, const EmbeddingOptions& options);
  at::Tensor forward(const at::Tensor& ids) override;
  // For a head that uses the same weight: it must announce its dense gradient (DeferredRows::expect_dense_from).
  const functional::DeferredRowsPtr& share_gradient();

 private:
  LayerContextPtr context_;
  at::Tensor weight_;
  functional::DeferredRowsPtr deferred_;  // null unless shared
};

}  // namespace colossal::nn
