// SPDX-License-Identifier: Apache-2.0
// The one place for the three matrix products of a linear layer. Which library multiplies (ATen's default,
// oneDNN, its block kernels, MKL) is decided per shape by a measurement that is made once per machine and kept in a cache file
// (matmul_tuner.h).
//
//   at::Tensor y = tensor::matmul_forward(x, w, bias);        // [t, in] x [out, in]^T -> [t, out]
//   at::Tensor dx = tensor::matmul_input_grad(dy, w);         // [t, out] x [out, in] -> [t, in]
//   tensor::matmul_weight_grad_(dw, dy, x, Accumulate::yes);  // dw [out, in] += dy^T x, fp32 also where dy and x are bf16
//
// Operands are dense matrices of one dtype on one device; nothing here is seen by autograd. Thread-safe.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::tensor {

enum class Accumulate { no, yes };

// bias: [out] in the dtype of x, or undefined.
at::Tensor matmul_forward(const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias = {});

// The same product with the result [t, out] in fp32 (fp64 for fp64): bf16 operands lose nothing.
at::Tensor matmul_forward_wide(const at::Tensor& x, const at::Tensor& w);

at::Tensor matmul_input_grad(const at::Tensor& dy, const at::Tensor& w);
void matmul_input_grad_into(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w);

// `dw` is [out, in] in the dtype of the operands or, for bf16 and fp16 operands, in fp32.
void matmul_weight_grad_(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x,
                         Accumulate accumulate);
at::Tensor matmul_weight_grad(const at::Tensor& dy, const at::Tensor& x, at::ScalarType result);

}  // namespace colossal::tensor
