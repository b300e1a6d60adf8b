// SPDX-License-Identifier: Apache-2.0
// Random numbers that do not depend on the layout: Philox 4x32-10 keyed by (seed, name, step), indexed by global element.
//
//   RandomKey key = RandomKey(seed).named("blocks.0.mlp.up.weight");
//   at::Tensor shard = normal(key, layout.shape(), layout.slice(rank), 0.0, 0.02, at::kFloat);
//
// The element with global (row-major) index i gets the same number in every layout, on every device and thread count.
// Thread-safe: pure functions.
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
  uint64_t seed() const { return seed_; }
  uint64_t stream() const { return stream_; }

 private:
  uint64_t seed_ = 0;
  uint64_t stream_ = 0;
};

// The slice `slice` of a logical tensor of shape `shape`, freshly allocated. Computed in fp64 where dtype is fp64 and rounded from the
// same 32-bit counters otherwise, so fp32 values are the rounded fp64 ones.
at::Tensor uniform(const RandomKey& key, const Shape& shape, const Slice& slice, double low, double high,
                   at::ScalarType dtype, at::Device device = at::kCPU);
at::Tensor normal(const RandomKey& key, const Shape& shape, const Slice& slice, double mean, double stddev,
                  at::ScalarType dtype, at::Device device = at::kCPU);
at::Tensor random_ints(const RandomKey& key, const Shape& shape, const Slice& slice, int64_t low, int64_t high);  // int64, [low, high)

// Inverted dropout, differentiable: y = x * keep / (1 - p), keep drawn by global index. Recomputes the mask in backward (saves nothing).
at::Tensor dropout(const at::Tensor& x, double p, const RandomKey& key, const Shape& shape, const Slice& slice);
// The mask alone, 0 or 1/(1 - p), for callers that fuse it.
at::Tensor dropout_mask(double p, const RandomKey& key, const Shape& shape, const Slice& slice, at::ScalarType dtype,
                        at::Device device = at::kCPU);

}  // namespace colossal::tensor
