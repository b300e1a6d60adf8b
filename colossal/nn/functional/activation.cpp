// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/activation.h"

#include "colossal/nn/functional/aten.h"

namespace colossal::nn::functional {

at::Tensor gelu_tanh(const at::Tensor& x) { return at::gelu(x, "tanh"); }
at::Tensor gelu_erf(const at::Tensor& x) { return at::gelu(x); }
at::Tensor silu(const at::Tensor& x) { return at::silu(x); }
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return aten::swiglu(gate, up); }
at::Tensor swiglu(const at::Tensor& gate_up) {
  const auto halves = gate_up.chunk(2, -1);
  return aten::swiglu(halves[0], halves[1]);
}

}  // namespace colossal::nn::functional
