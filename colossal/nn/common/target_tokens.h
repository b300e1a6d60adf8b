// SPDX-License-Identifier: Apache-2.0
// Packs the tokens that are targets: every rank keeps those of its part, and as many places as the part with the most has targets. All
// ranks see all labels, so nothing is sent. Where a part has no other tokens all stay as they are. What labels on meta would say is in
// StepState::targets.
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
  at::Tensor in_parts(const at::Tensor& labels, double padding) const;
  int64_t num_targets(const at::Tensor& none) const;

  LayerContextPtr context_;
};

}  // namespace colossal::nn
