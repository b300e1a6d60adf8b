// SPDX-License-Identifier: Apache-2.0
// Walks a slice of a logical tensor in runs of consecutive global indices, in parallel, tile by tile of
// generated numbers.
//
//   for_each_piece<uint32_t>(SliceRuns(shape, slice), generate, consume);
//
// Thread-safe: pure functions; `generate` and `consume` are called from several threads for disjoint ranges.
#pragma once
#include <ATen/Parallel.h>

#include <algorithm>

#include "colossal/tensor/layout.h"
#include "colossal/tensor/philox.h"

namespace colossal::tensor {

// The slice as equally long runs: run r starts at global index start(r).
class SliceRuns {
 public:
  // Throws ShapeError when `slice` is not inside `shape`.
  SliceRuns(const Shape& shape, const Slice& slice);
  int64_t numel() const { return numel_; }
  int64_t run_length() const { return run_length_; }
  int64_t start(int64_t run) const;

 private:
  int64_t numel_ = 1;
  int64_t run_length_ = 1;
  int64_t base_ = 0;     // global index of element 0
  Shape outer_sizes_;    // of the slice, the dims outside the run
  Shape outer_strides_;  // of the logical tensor
};

inline constexpr int64_t kTilesPerPiece = 32;  // a buffer of 2048 numbers stays in the first-level cache

// generate(first_tile, num_tiles, T* buffer); consume(position in the slice, count, const T* numbers).
template <typename T, typename Generate, typename Consume>
void for_each_piece(const SliceRuns& runs, Generate generate, Consume consume) {
  if (runs.numel() == 0) return;
  at::parallel_for(0, runs.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
    alignas(64) T buffer[kTilesPerPiece * kTile];
    while (begin < end) {
      const int64_t run = begin / runs.run_length(), inside = begin % runs.run_length();
      const int64_t global = runs.start(run) + inside, lead = global % kTile;
      const int64_t count =
          std::min({runs.run_length() - inside, end - begin, kTilesPerPiece * kTile - lead});
      generate(global / kTile, (lead + count + kTile - 1) / kTile, buffer);
      consume(begin, count, buffer + lead);
      begin += count;
    }
  });
}

}  // namespace colossal::tensor
