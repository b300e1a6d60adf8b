// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm over a last dim that is sharded over a group.
//
//   at::Tensor y = functional::sharded_layer_norm(x, weight, bias, 1e-5, row_group);   // x: [.., h / n]
//
// Statistics in fp32 (fp64 for fp64) and in two passes: the mean first, then squares of differences to it, so that a large mean
// costs no digits. All-reduced per token: forward 2 numbers (RMS: 1), backward 2 in one call (RMS: 1). Thread safety: collective.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/comm/group.h"
#include "colossal/nn/functional/norm.h"

namespace colossal::nn::functional {

// As those of norm.h with x, weight and bias this rank's part of the last dim. The gradients of weight and bias
// are sums over this rank's tokens.
at::Tensor sharded_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                              double eps, const comm::Group& group);
at::Tensor sharded_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                            const comm::Group& group);
AddNorm sharded_add_layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                               const at::Tensor& bias, double eps, const comm::Group& group);
AddNorm sharded_add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                             double eps, const comm::Group& group);

}  // namespace colossal::nn::functional
