// SPDX-License-Identifier: Apache-2.0
// The functions of this folder as differentiable compositions of ATen operators: what tensors on other devices
// than the CPU run on.
//
//   if (!has_kernel(x)) return aten::rms_norm(x, weight, eps);
//
// Internal to nn/functional. Thread-safe: pure functions.
#pragma once
#include "colossal/nn/functional/activation.h"
#include "colossal/nn/functional/attention.h"
#include "colossal/nn/functional/rotary.h"

namespace colossal::nn::functional::aten {

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);
at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps);
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up);
at::Tensor activation_backward(const at::Tensor& x, const at::Tensor& dy,
                               Activation kind);  // not differentiable
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table, int64_t offset);
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& table, at::ScalarType dtype);
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const AttentionOptions& options);

}  // namespace colossal::nn::functional::aten
