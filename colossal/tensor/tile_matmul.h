// SPDX-License-Identifier: Apache-2.0
// The product of two small matrices inside a kernel that is parallel already: raw pointers, one thread, no allocation.
//
//   tile_matmul<float>({q, 192, false}, {k, 192, true}, {m, n, depth}, Accumulate::no, scores, n);   // scores = q k^T
//
// bf16 is multiplied into fp32. The BLAS that libtorch was built with does the work, plain loops where it has none. Thread-safe.
#pragma once
#include "colossal/tensor/matmul.h"
#include "colossal/tensor/simd.h"

namespace colossal::tensor {

template <class T>
struct TileOperand {
  const T* data;
  int64_t stride;  // elements from one stored row to the next
  bool transposed;
};

struct TileSizes {
  int64_t m, n, k;
};

// c [m, n] (+)= op(a) [m, k] op(b) [k, n], row-major, c's rows `stride` elements apart. T: float, double, BFloat16.
template <class T>
void tile_matmul(const TileOperand<T>& a, const TileOperand<T>& b, const TileSizes& sizes,
                 Accumulate accumulate, simd::Wide<T>* c, int64_t stride);

}  // namespace colossal::tensor
