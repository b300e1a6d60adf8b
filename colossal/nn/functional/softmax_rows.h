// SPDX-License-Identifier: Apache-2.0
// The two passes over logits of a softmax whose columns several ranks share: what each can do before it knows the others.
//
//   RowSums own = exponentials_(logits);              // logits are now exp(logits - own.most)
//   ...                                                // all ranks agree on the largest logit and the sum
//   at::Tensor dlogits = scaled_rows(logits, factors, at::kBFloat16);
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

// row * factors[row] in `dtype`; logits itself where it has that dtype.
at::Tensor scaled_rows(const at::Tensor& logits, const at::Tensor& factors, at::ScalarType dtype);

}  // namespace colossal::nn::functional
