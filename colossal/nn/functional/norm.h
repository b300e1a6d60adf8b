// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm over the last dimension, alone or fused with the residual addition before them.
//
//   auto [sum, normed] = functional::add_rms_norm(branch, residual, weight, 1e-5);   // sum = branch + residual
//
// Statistics in fp32 (fp64 for fp64); weights may be fp32 masters while x is bf16. Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::nn::functional {

// (x - mean) / sqrt(var + eps) * weight + bias; x: [.., h]; weight: [h]; bias: [h] or undefined. Ba et al.,
// arXiv 1607.06450.
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);

// x / sqrt(mean(x^2) + eps) * weight. Zhang and Sennrich, arXiv 1910.07467.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

struct AddNorm {
  at::Tensor sum;     // x + residual
  at::Tensor normed;  // the norm of it
};
AddNorm add_layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                       const at::Tensor& bias, double eps);
AddNorm add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double eps);

}  // namespace colossal::nn::functional
