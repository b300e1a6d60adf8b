// SPDX-License-Identifier: Apache-2.0
// Arithmetic of reductions: n arrays into one, element by element, in the order of the arrays.
//
//   const void* sources[] = {a, b, c};
//   arithmetic::reduce_arrays(out, sources, count, at::kBFloat16, ReduceOp::sum);
//
// bf16 and fp16 are accumulated in fp32 and rounded once. Sums of integers wrap around; of bools they are "or". NaN wins in
// max and min. The result depends on the values and their order alone. Thread-safe.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>

#include "colossal/comm/backend.h"

namespace colossal::comm::arithmetic {

// `out` may be one of the sources. Throws CommError for dtypes and operations that reductions do not have.
void reduce_arrays(void* out, std::span<const void* const> sources, int64_t count, at::ScalarType dtype,
                   ReduceOp op);

// Throws what reduce_arrays would throw.
void check_reducible(at::ScalarType dtype, ReduceOp op);

}  // namespace colossal::comm::arithmetic
