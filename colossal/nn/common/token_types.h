// SPDX-License-Identifier: Apache-2.0
// Token types: which of a few segments of its sequence a token belongs to.
//
//   at::Tensor y = types->forward(x, token_type_ids);   // x + table[token_type_ids]
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class TokenTypes final : public TokenTypeLayer {
 public:
  TokenTypes(LayerContextPtr context, const EmbeddingOptions& options);
  // types: of all tokens of the replica, or undefined. ShapeError where one is not in the table.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& types) override;

 private:
  LayerContextPtr context_;
  at::Tensor weight_;
};

}  // namespace colossal::nn
