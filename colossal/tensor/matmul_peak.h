// SPDX-License-Identifier: Apache-2.0
// What this rank's threads reach in a large matrix product: the measure that `percent of peak` refers to.
//
//   double flops = tensor::matmul_peak_flops(at::kFloat, at::kCPU);   // per second
//
// Thread-safe.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::tensor {

// Best of a few products of 1024 x 1024 matrices in `dtype`; a multiplication and an addition count as two. Takes about 0.05 s.
double matmul_peak_flops(at::ScalarType dtype, at::Device device);

}  // namespace colossal::tensor
