// SPDX-License-Identifier: Apache-2.0
// The three products of a linear layer over a q x q grid of ranks, panel by panel (SUMMA; arXiv 2104.05343).
//
//   at::Tensor y = summa_forward(x, w, grid);    // x [t, in / q] of rank (r, c), w [out / q, in / q] with in by r and out by c
//
// Broadcasts run one panel ahead of the products. Sent per rank, S(A) = |A| (q - 1) / q^2 of a whole matrix A, averaged over the
// group: forward S(X) + S(W), input gradient S(W) + S(X), weight gradient S(X) + S(W); Y and its gradient never move.
// No autograd. Thread safety: collective over the grid.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/comm/group.h"

namespace colossal::parallel {

struct SummaGrid {
  comm::Group along_row;     // the ranks of this rank's row, by column
  comm::Group along_column;  // the ranks of this rank's column, by row
};

at::Tensor summa_forward(const at::Tensor& x, const at::Tensor& w, const SummaGrid& grid);  // [t, out / q]
at::Tensor summa_input_grad(const at::Tensor& dy, const at::Tensor& w, const SummaGrid& grid);  // [t, in / q]
at::Tensor summa_weight_grad(const at::Tensor& dy, const at::Tensor& x,
                             at::ScalarType result,  // [out / q, in / q]
                             const SummaGrid& grid);

}  // namespace colossal::parallel
