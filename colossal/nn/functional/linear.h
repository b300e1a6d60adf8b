// SPDX-License-Identifier: Apache-2.0
// y = x W^T + b with the gradients that training wants.
//
//   at::Tensor y = functional::linear(x, weight, bias);
//   // x: [.., in], weight: [out, in], bias: [out] or undefined -> [.., out]
//
// x decides the arithmetic. Where x is bf16 (or fp16) and the weight is an fp32 master, the cached
// low-precision copy is multiplied and the gradients of weight and bias come back in fp32, accumulated in
// fp32. Thread-safe as far as distinct weights are concerned.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/nn/functional/activation.h"

namespace colossal::nn::functional {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// linear(activation(x, kind), weight, bias), which keeps x alone for backward and computes the activation there once more.
at::Tensor activated_linear(const at::Tensor& x, Activation kind, const at::Tensor& weight,
                            const at::Tensor& bias = {});

}  // namespace colossal::nn::functional
