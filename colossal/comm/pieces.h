// SPDX-License-Identifier: Apache-2.0
// Backends join and cut along dim 0; these turn that into any dim.
//
//   at::Tensor y = join_pieces(gathered, n, 2);   // [n b, s, h] -> [b, s, n h]
//   at::Tensor x = stack_pieces(y, n, 2);          // and back
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::comm {

// [n d0, ...] with pieces stacked along dim 0 -> pieces joined along `dim`; a view where that is possible.
at::Tensor join_pieces(const at::Tensor& stacked, int64_t n, int64_t dim);

// The pieces of `x` along `dim` stacked along dim 0: [.., n d, ..] -> [n d0, ..] with `dim` n times smaller, contiguous.
at::Tensor stack_pieces(const at::Tensor& x, int64_t n, int64_t dim);

}  // namespace colossal::comm
