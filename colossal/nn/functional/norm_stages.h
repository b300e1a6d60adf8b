// SPDX-License-Identifier: Apache-2.0
// What a norm over a sharded last dim does between its sums over ranks. Rows are [rows, h / n] of this rank; statistics [rows], in fp32
// (fp64 for fp64); `mean` is undefined for RMS norm.
//
//   at::Tensor sums = first_statistic(rows, centred);   all_reduce(sums);
//
// Fused kernels on the CPU, ATen operators elsewhere. Internal to nn/functional. Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::nn::functional {

struct NormRows {
  at::Tensor x;              // what is normalised; with a residual it is written: x + residual
  at::Tensor term = {};      // undefined: x is given
  at::Tensor residual = {};  // undefined: x is given
};

// Sum of a row for a centred norm, else of its squares.
at::Tensor first_statistic(const NormRows& rows, bool centred);
// Sum of (x - mean)^2 of a row.
at::Tensor centred_squares(const at::Tensor& x, const at::Tensor& mean);
// (x - mean) * rstd * weight + bias, like x. weight, bias: wide; bias may be undefined.
at::Tensor normalised(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& mean, const at::Tensor& rstd);

struct NormGradient {
  at::Tensor x, dy, weight, mean, rstd;
};
struct NormGradientSums {
  at::Tensor sums;  // [2, rows]: of g n and of g; RMS norm [1, rows]. g = dy * weight, n = (x - mean) * rstd
  at::Tensor dweight, dbias = {};  // [h / n], wide: sums over these rows
};
NormGradientSums gradient_sums(const NormGradient& of, bool with_bias);
// rstd * (g - average of g - n * average of g n) + dsum, like x. averages: as sums; dsum: undefined or like x.
at::Tensor input_gradient(const NormGradient& of, const at::Tensor& averages, const at::Tensor& dsum);

}  // namespace colossal::nn::functional
