// SPDX-License-Identifier: Apache-2.0
// One matrix product, large enough for a measured choice of the kernel, and what was chosen: for the tests of the file of choices.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "colossal/tensor/matmul.h"
#include "colossal/tensor/matmul_tuner.h"

using namespace colossal;

int main() {
  const at::Tensor x = at::ones({300, 256}), w = at::ones({384, 256});
  const at::Tensor y = tensor::matmul_forward(x, w);
  if (!at::equal(y, at::full_like(y, 256))) return 1;
  for (const tensor::MatmulChoice& choice : tensor::matmul_choices()) {
    fmt::print("{}: {}", choice.key, choice.kernel);
    for (const auto& [kernel, gflops] : choice.gflops) fmt::print(", {} {:g}", kernel, gflops);
    fmt::print("\n");
  }
}
