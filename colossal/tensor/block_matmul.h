// SPDX-License-Identifier: Apache-2.0
// Products of large matrices from the block kernels of oneDNN inside libtorch (at::native::cpublas::brgemm), for operands that lie
// the wrong way round for them: a panel of the transposed operand is packed at a time, into cache. bf16 is multiplied into fp32.
//
//   if (has_block_matmul(x.scalar_type())) block_matmul_forward(y, x, w, bias);   // y [t, out] = x [t, in] w [out, in]^T + bias
//
// Operands are dense row-major CPU matrices of one dtype, float or bf16; results are fp32. What element (i, j) is summed from, and in which
// order, depends on nothing but the sizes: threads leave no trace. Internal to tensor/. Thread-safe.
#pragma once
#include "colossal/tensor/matmul.h"

namespace colossal::tensor {

// Whether this processor has them: AVX-512.
bool has_block_matmul(at::ScalarType type);

// `in` must be even for bf16. bias: fp32 [out], or undefined.
void block_matmul_forward(const at::Tensor& y, const at::Tensor& x, const at::Tensor& w,
                          const at::Tensor& bias = {});

// dx [t, in] = dy [t, out] w [out, in], float only.
void block_matmul_input_grad(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w);

// dw [out, in] (+)= dy [t, out]^T x [t, in].
void block_matmul_weight_grad(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x,
                              Accumulate accumulate);

}  // namespace colossal::tensor
