// SPDX-License-Identifier: Apache-2.0
// The three products of linear layers of one input over a q x q grid of ranks, panel by panel (SUMMA; arXiv 2104.05343).
//
//   auto y = summa_forward(x, {w}, grid);    // x [t, in / q] of rank (r, c), w [out / q, in / q] with in by r and out by c
//
// Broadcasts run one panel ahead of the products. Sent per rank, S(A) = |A| (q - 1) / q^2 of a whole matrix A, averaged over the
// group, W of all weights together: forward S(X) + S(W), input gradient S(W) + S(X), weight gradient S(X) + S(W); Y and its gradient never
// move.
// No autograd. Thread safety: collective over the grid.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "colossal/comm/group.h"

namespace colossal::parallel {

struct SummaGrid {
  comm::Group along_row;     // the ranks of this rank's row, by column
  comm::Group along_column;  // the ranks of this rank's column, by row
};

// One [t, out / q] per weight.
std::vector<at::Tensor> summa_forward(const at::Tensor& x, const std::vector<at::Tensor>& ws,
                                      const SummaGrid& grid);
// [t, in / q], summed over the weights.
at::Tensor summa_input_grad(const std::vector<at::Tensor>& dys, const std::vector<at::Tensor>& ws,
                            const SummaGrid& grid);
// One [out / q, in / q] per weight, in its type of `results`.
std::vector<at::Tensor> summa_weight_grads(const std::vector<at::Tensor>& dys, const at::Tensor& x,
                                           const std::vector<at::ScalarType>& results, const SummaGrid& grid);

}  // namespace colossal::parallel
