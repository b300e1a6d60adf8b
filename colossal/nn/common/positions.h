// SPDX-License-Identifier: Apache-2.0
// A learned table of positions, added to what an embedding gives.
//
//   at::Tensor x = positions->forward(tokens->forward(ids), 0);   // [b, s, h] -> same
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class Positions final : public PositionLayer {
 public:
  Positions(LayerContextPtr context, const EmbeddingOptions& options);
  // ShapeError when the sequence runs past the table.
  at::Tensor forward(const at::Tensor& x, int64_t offset) override;

 private:
  LayerContextPtr context_;
  at::Tensor weight_;
};

}  // namespace colossal::nn
