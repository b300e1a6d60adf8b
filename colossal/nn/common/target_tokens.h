// SPDX-License-Identifier: Apache-2.0
// Packs the tokens that are targets: every rank keeps those of its part, and as many places as the part with the most has targets. All
// ranks see all labels, so nothing is sent. Where a part has no other tokens (and on meta tensors, which do not tell) all stay as they are.
//
//   const auto [packed, their_labels] = targets->forward(x, labels);      // x: part of [b, s, h], labels: int64 [b, s] of the replica
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class TargetTokens final : public TargetsLayer {
 public:
  explicit TargetTokens(LayerContextPtr context) : context_(std::move(context)) {}
  Targets forward(const at::Tensor& x, const at::Tensor& labels) override;

 private:
  LayerContextPtr context_;
};

}  // namespace colossal::nn
