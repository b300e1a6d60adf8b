// SPDX-License-Identifier: Apache-2.0
// Scores of a whole sequence, from its first token. That one token is gathered where it is cut, and every rank that shares its row
// computes the same: the weights are small.
//
//   at::Tensor loss = classifier->loss(x, labels, num_targets);   // x: part of [b, s, h], labels: int64 [b] of the replica
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class Classifier final : public HeadLayer {
 public:
  Classifier(LayerContextPtr context, const ClassifierOptions& options);
  at::Tensor logits(const at::Tensor& x) override;
  at::Tensor last_logits(const at::Tensor& x) override { return logits(x); }
  at::Tensor loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) override;
  functional::TokenScores scores(const at::Tensor& x, const at::Tensor& labels) override;

 private:
  at::Tensor features(const at::Tensor& x) const;  // -> [rows of this rank, h]
  at::Tensor own_labels(const at::Tensor& labels) const;
  at::Tensor all_rows(const at::Tensor& own) const;  // of the replica, padding removed

  LayerContextPtr context_;
  comm::Group rows_;                    // shares the rows
  at::Tensor pool_weight_, pool_bias_;  // undefined: the token itself
  at::Tensor weight_, bias_;
};

}  // namespace colossal::nn
