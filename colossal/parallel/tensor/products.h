// SPDX-License-Identifier: Apache-2.0
// Products of one input with weights that ranks share, differentiable: y_i = act(x) W_i^T + b_i. What travels of x, and of its gradient,
// travels once, however many weights there are.
//
//   const auto y = ported_linears(x, Activation::none, {{query, query_bias}, {key_value, key_value_bias}}, ports, Keep::shards);
//
// Thread safety: collective over the groups of the ports or of the grid, forward and backward.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "colossal/nn/functional/activation.h"
#include "colossal/parallel/tensor/port.h"
#include "colossal/parallel/tensor/summa.h"

namespace colossal::parallel {

struct LinearOperands {
  at::Tensor weight;     // local [out, in]
  at::Tensor bias = {};  // local [out] or undefined
};

// Operands are gathered before a product and its result is summed after it: 1D (column and row), 1D with sequence, 3D.
//   1D expand     x enters by sum                          contract   y leaves by sum
//   1D-sequence   x is gathered along the sequence                    y is cut along it
//   3D            x and W are gathered, y is cut along the batch; input and output change roles
// Sent per rank, of t or q^3 ranks, |A| elements of a whole matrix, W and Y of all weights together:
//   1D expand     2 (t - 1) / t |X| backward               contract   2 (t - 1) / t |Y| forward
//   1D-sequence   (t - 1) / t |X| forward, twice backward             (t - 1) / t |Y| each way
//   3D            (q - 1) / q^3 (|X| + |W| + |Y|) each way, and once more X and W backward
// What is sent backward for x or W to be gathered again falls away where they are kept (Keep::gathered).
struct ProductPorts {
  Port input, weight, output;
};
// What is kept of the gathered operands between forward and backward: the shards (they are gathered again), or all.
enum class Keep { shards, gathered };

// x: [.., in of this rank], kind: of the activation of x. One result per weight, [.., out of this rank].
std::vector<at::Tensor> ported_linears(const at::Tensor& x, nn::functional::Activation kind,
                                       const std::vector<LinearOperands>& operands, const ProductPorts& ports,
                                       Keep keep);

// The same over a square of ranks, panel by panel (summa.h).
std::vector<at::Tensor> summa_linears(const at::Tensor& x, nn::functional::Activation kind,
                                      const std::vector<LinearOperands>& operands, const SummaGrid& grid);

}  // namespace colossal::parallel
