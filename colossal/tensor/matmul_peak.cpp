// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/matmul_peak.h"

#include <ATen/core/grad_mode.h>

#include "colossal/tensor/matmul.h"

namespace colossal::tensor {

double matmul_peak_flops(at::ScalarType dtype, at::Device device) {
  using Clock = std::chrono::steady_clock;
  at::NoGradGuard no_grad;
  constexpr int64_t kSize = 1024;
  const at::Tensor a = at::full({kSize, kSize}, 0.5, at::dtype(dtype).device(device));
  const at::Tensor b = a.clone();
  double best = 1e9;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto start = Clock::now();
    matmul_forward(a, b)[0][0].item<double>();  // reading an element waits for the device
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return 2.0 * kSize * kSize * kSize / best;
}

}  // namespace colossal::tensor
