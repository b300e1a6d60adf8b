// SPDX-License-Identifier: Apache-2.0
// The arithmetic of a reduction over buffers that lie side by side.
//
//   fold(out, {mine, from_1, from_2}, ReduceOp::sum);
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "colossal/comm/backend.h"

namespace colossal::comm {

// out = parts[0] op parts[1] op ..., in this order, so that every member that folds the same parts gets the same bits.
// 16-bit floats are accumulated in float32. `out` may be one of the parts. avg divides by `members`.
void fold(const at::Tensor& out, const std::vector<at::Tensor>& parts, ReduceOp op, int64_t members);

}  // namespace colossal::comm
