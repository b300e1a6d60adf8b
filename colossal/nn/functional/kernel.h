// SPDX-License-Identifier: Apache-2.0
// What the CPU kernels of this folder share: which tensors have kernels, the choice of the element type, the
// division of rows.
//
//   with_type(x, [&](auto zero) { using T = decltype(zero); .. });
//
// Internal to nn/functional. Thread-safe: pure functions.
#pragma once
#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include "colossal/base/error.h"
#include "colossal/tensor/shape_text.h"
#include "colossal/tensor/simd.h"

namespace colossal::nn::functional {

namespace simd = tensor::simd;
using tensor::shape_text;

inline bool has_kernel(at::ScalarType type) {
  return type == at::kFloat || type == at::kDouble || type == at::kBFloat16;
}
// Tensors on meta, too: they take the same way, allocate the same tensors and leave out the arithmetic (with_type).
inline bool has_kernel(const at::Tensor& x) {
  return (x.is_cpu() || x.is_meta()) && has_kernel(x.scalar_type());
}

// The type that statistics and weight gradients of activations of type `type` are kept in.
inline at::ScalarType wide_type(at::ScalarType type) {
  return type == at::kDouble ? at::kDouble : at::kFloat;
}

// body(T{}) for the C++ type T of x's elements, of which a tensor on meta has none; the caller has asked has_kernel.
template <class Body>
void with_type(const at::Tensor& x, Body&& body) {
  const at::ScalarType type = x.scalar_type();
  if (x.is_meta()) return;
  if (type == at::kDouble) return body(double{});
  if (type == at::kBFloat16) return body(c10::BFloat16{});
  if (type != at::kFloat) throw InternalError("functional kernel called for a type that has none");
  body(float{});
}

inline int64_t row_count(const at::Tensor& x) { return x.size(-1) == 0 ? 0 : x.numel() / x.size(-1); }

// Rows per task such that a task is worth a thread: about 16 thousand elements.
inline int64_t row_grain(int64_t row_size) {
  return std::max<int64_t>(1, 16384 / std::max<int64_t>(1, row_size));
}

// Sums over rows are formed per block of rows and then over the blocks in order: blocks depend on the row
// count only, so the result does not depend on the number of threads.
inline int64_t rows_per_block(int64_t rows) { return std::max<int64_t>(64, (rows + 63) / 64); }
inline int64_t block_count(int64_t rows) { return (rows + rows_per_block(rows) - 1) / rows_per_block(rows); }

}  // namespace colossal::nn::functional
