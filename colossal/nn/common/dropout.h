// SPDX-License-Identifier: Apache-2.0
// Dropout on the residual stream. The mask belongs to the global batch: an element of it is the same whichever rank and
// microbatch holds it.
//
//   auto drop = std::make_shared<Dropout>(context, 0.1, "blocks.3.mlp");
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class Dropout final : public UnaryLayer {
 public:
  Dropout(LayerContextPtr context, double p, std::string site);
  // x: this rank's part of [rows, sequence, hidden]; the rows begin at StepState::first_row of the global batch.
  at::Tensor forward(const at::Tensor& x) override;

 private:
  LayerContextPtr context_;
  double p_;
  std::string site_;
};

}  // namespace colossal::nn
