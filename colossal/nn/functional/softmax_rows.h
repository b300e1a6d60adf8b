// SPDX-License-Identifier: Apache-2.0
// The two passes over logits of a softmax whose columns several ranks share: what each can do before it knows the others.
//
//   RowSums own = exponentials_(logits);              // logits are now exp(logits - own.most)
//   ...                                                // all ranks agree on the largest logit and the sum
//   softmax_gradient_into(dlogits, logits, {factors, column, mine}, scale);
//
// logits: [rows, columns], fp32 or fp64, dense. Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::nn::functional {

struct RowSums {
  at::Tensor most;   // [rows], largest logit
  at::Tensor total;  // [rows], sum of exp(logit - most)
};
RowSums exponentials_(const at::Tensor& logits);  // in place

// What a row is compared with.
struct RowTargets {
  at::Tensor factors;  // [rows], scale / sum of the exponentials over all ranks; 0 where the row has no label
  at::Tensor column;   // int64 [rows, 1], where the label stands; any where it stands with another rank
  at::Tensor mine;     // [rows, 1], dtype of the exponentials, 1 where the label stands at `column`, else 0
};

// out = scale * (softmax - onehot), in its own dtype; out may be the exponentials, which are overwritten in any case.
void softmax_gradient_into(const at::Tensor& out, const at::Tensor& exponentials, const RowTargets& targets,
                           double scale);

}  // namespace colossal::nn::functional
