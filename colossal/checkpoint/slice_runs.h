// SPDX-License-Identifier: Apache-2.0
// A slice of a row-major tensor as runs of consecutive elements, in the slice's own row-major order.
//
//   for_each_run({4, 6}, {{1, 0}, {2, 6}}, [&](int64_t first, int64_t count) { ... });   // one run: 6, 12
//
// Thread-safe: a pure function.
#pragma once
#include <cstdint>

#include "colossal/tensor/layout.h"

namespace colossal::checkpoint {

// `slice` lies within `shape` and has as many dims. Calls run(first element in the tensor, number of
// elements).
template <class Run>
void for_each_run(const tensor::Shape& shape, const tensor::Slice& slice, const Run& run) {
  const int64_t dims = static_cast<int64_t>(shape.size());
  for (const int64_t size : slice.size) {
    if (size == 0) return;
  }
  // Trailing dims that are taken whole belong to every run, and so does the first one before them.
  int64_t split = dims;
  int64_t count = 1;
  while (split > 0) {
    --split;
    count *= slice.size[split];
    if (slice.size[split] != shape[split]) break;
  }
  tensor::Shape strides(shape.size(), 1);
  for (int64_t d = dims - 2; d >= 0; --d) strides[d] = strides[d + 1] * shape[d + 1];
  int64_t first = 0;
  for (int64_t d = 0; d < dims; ++d) first += slice.offset[d] * strides[d];
  tensor::Shape index(split, 0);
  while (true) {
    run(first, count);
    int64_t d = split - 1;
    for (; d >= 0; --d) {
      first += strides[d];
      if (++index[d] < slice.size[d]) break;
      first -= index[d] * strides[d];
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

}  // namespace colossal::checkpoint
