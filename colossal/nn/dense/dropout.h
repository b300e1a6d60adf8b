// SPDX-License-Identifier: Apache-2.0
// Dropout on the residual stream. The mask belongs to the global batch: row i of it is the same whichever rank and microbatch holds it.
//
//   auto drop = std::make_shared<DenseDropout>(context, 0.1, "blocks.3.mlp");
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/dense/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseDropout final : public UnaryLayer {
 public:
  DenseDropout(DenseContextPtr context, double p, std::string site);
  // x: [rows, ..]; rows first_row .. of the global batch (StepState).
  at::Tensor forward(const at::Tensor& x) override;

 private:
  DenseContextPtr context_;
  double p_;
  std::string site_;
};

}  // namespace colossal::nn
