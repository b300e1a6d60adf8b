// SPDX-License-Identifier: Apache-2.0
// Random numbers that do not depend on the layout: Philox 4x32-10 keyed by (seed, name, step), indexed by
// global element.
//
//   RandomKey key = RandomKey(seed).named("blocks.0.mlp.up.weight");
//   at::Tensor shard = normal(key, layout.shape(), layout.slice(rank), 0.0, 0.02, at::kFloat);
//
// The element with global (row-major) index i gets the same number in every layout, on every device and
// thread count. Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

#include "colossal/tensor/layout.h"

namespace colossal::tensor {

// A point in the space of random streams.
class RandomKey {
 public:
  explicit RandomKey(uint64_t seed) : seed_(seed) {}
  RandomKey named(std::string_view name) const;  // parameter name or dropout site; may be applied repeatedly
  RandomKey at_step(uint64_t step) const;
  // A key that was taken apart by seed() and stream().
  static RandomKey from_stream(uint64_t seed, uint64_t stream) {
    RandomKey key(seed);
    key.stream_ = stream;
    return key;
  }
  uint64_t seed() const { return seed_; }
  uint64_t stream() const { return stream_; }

 private:
  uint64_t seed_ = 0;
  uint64_t stream_ = 0;
};

// All of these: `slice` of the logical tensor of shape `shape`, freshly allocated. Computed in fp64 on the
// CPU and rounded to `dtype`, so values of two dtypes differ by rounding only and every device holds the same
// bits. On meta: no values. ShapeError when the slice is not inside the shape. `uniform` has 32 random bits;
// `normal` reaches 6.7 standard deviations.
at::Tensor uniform(const RandomKey& key, const Shape& shape, const Slice& slice, double low, double high,
                   at::ScalarType dtype, at::Device device = at::kCPU);
at::Tensor normal(const RandomKey& key, const Shape& shape, const Slice& slice, double mean, double stddev,
                  at::ScalarType dtype, at::Device device = at::kCPU);
// int64 in [low, high), high - low up to 2^32.
at::Tensor random_ints(const RandomKey& key, const Shape& shape, const Slice& slice, int64_t low,
                       int64_t high);

// Inverted dropout, differentiable: y = x * keep / (1 - p), keep drawn by global index. Recomputes the mask
// in backward (saves nothing). `x`: any shape with the elements of the slice in order. p in [0, 1].
at::Tensor dropout(const at::Tensor& x, double p, const RandomKey& key, const Shape& shape,
                   const Slice& slice);
// The mask alone, 0 or 1/(1 - p), for callers that fuse it.
at::Tensor dropout_mask(double p, const RandomKey& key, const Shape& shape, const Slice& slice,
                        at::ScalarType dtype, at::Device device = at::kCPU);

}  // namespace colossal::tensor
