// SPDX-License-Identifier: Apache-2.0
// The sum over rows: gradients of biases, of a norm's weight, of positions.
//
//   at::Tensor db = functional::sum_rows(dy, at::kFloat);   // [b, s, h] -> [h]
//
// Thread-safe: pure function.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::nn::functional {

// Sum over all dims of x [.., columns] but the last: [columns], accumulated in fp32 (fp64 for fp64), rounded once to `result`. The order
// depends on the number of rows only, not on that of threads.
at::Tensor sum_rows(const at::Tensor& x, at::ScalarType result);

}  // namespace colossal::nn::functional
