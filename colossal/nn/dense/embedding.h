// SPDX-License-Identifier: Apache-2.0
// Token embedding and learned positions on one device.
//
//   at::Tensor x = positions->forward(tokens->forward(ids), 0);   // int64 [b, s] -> [b, s, h] in the compute dtype
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/dense/context.h"
#include "colossal/nn/functional/embedding.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseEmbedding final : public UnaryLayer {
 public:
  DenseEmbedding(DenseContextPtr context, const EmbeddingOptions& options);
  at::Tensor forward(const at::Tensor& ids) override;
  // For a head that uses the same weight: it must announce its dense gradient (DeferredRows::expect_dense_from).
  const functional::DeferredRowsPtr& share_gradient();

 private:
  DenseContextPtr context_;
  at::Tensor weight_;
  functional::DeferredRowsPtr deferred_;  // null unless shared
};

class DensePositions final : public PositionLayer {
 public:
  DensePositions(const DenseContextPtr& context, const EmbeddingOptions& options);
  // ShapeError when the sequence runs past the table.
  at::Tensor forward(const at::Tensor& x, int64_t offset) override;

 private:
  at::Tensor weight_;
};

}  // namespace colossal::nn
