// SPDX-License-Identifier: Apache-2.0
// Language-model head on one device: logits, or the loss in chunks of tokens.
//
//   at::Tensor loss = head->loss(x, labels, num_targets);   // 0-d
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/functional/embedding.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseHead final : public HeadLayer {
 public:
  DenseHead(const LayerContextPtr& context, const HeadOptions& options);
  at::Tensor logits(const at::Tensor& x) override;
  at::Tensor last_logits(const at::Tensor& x) override;
  at::Tensor loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) override;
  functional::TokenScores scores(const at::Tensor& x, const at::Tensor& labels) override;

 private:
  const at::Tensor& announced(const at::Tensor& output) const;

  at::Tensor weight_, bias_;
  functional::DeferredRowsPtr deferred_;  // of the embedding that shares the weight; null: none does
};

}  // namespace colossal::nn
