// SPDX-License-Identifier: Apache-2.0
// The words of philox.h on any device, from elementwise ATen operations.
//
//   at::Tensor words = words_on_device(key, shape, slice, at::kCUDA);   // int64, 0 to 2^32 - 1, shape slice.size
//
// Thread-safe: pure function.
#pragma once
#include "colossal/tensor/random.h"

namespace colossal::tensor {

at::Tensor words_on_device(const RandomKey& key, const Shape& shape, const Slice& slice, at::Device device);

}  // namespace colossal::tensor
