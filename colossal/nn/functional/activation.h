// SPDX-License-Identifier: Apache-2.0
// Activations; each saves its input only and recomputes the rest in backward.
//
//   at::Tensor h = functional::swiglu(functional::linear(x, gate_and_up));   // [.., 2 f] -> [.., f]
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::nn::functional {

at::Tensor gelu_tanh(const at::Tensor& x);  // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), arXiv 1606.08415
at::Tensor gelu_erf(const at::Tensor& x);   // x Phi(x)
at::Tensor silu(const at::Tensor& x);       // x sigmoid(x)

at::Tensor swiglu(
    const at::Tensor& gate_up);  // the last dimension is [gate | up]; silu(gate) * up, arXiv 2002.05202
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);  // the same from two tensors

// By name, for layers that take one as an option. swiglu halves the last dimension.
enum class Activation { none, gelu_tanh, gelu_erf, silu, swiglu };
at::Tensor activation(const at::Tensor& x, Activation kind);

// The gradient of x from that of activation(x, kind), outside autograd.
at::Tensor activation_backward(const at::Tensor& x, const at::Tensor& dy, Activation kind);

}  // namespace colossal::nn::functional
