// SPDX-License-Identifier: Apache-2.0
// From one layout to another: a plan with exact bytes, and its execution by collectives.
//
//   Plan plan = plan_redistribution(from, to);    // pure, any mesh size
//   at::Tensor y = redistribute(x, from, to, mesh);
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/tensor/layout.h"

namespace colossal::tensor {

// One move of a plan. Each acts on one dim and one group of axes.
struct Step {
  enum class Kind {
    all_reduce,      // partial -> replicated
    reduce_scatter,  // partial -> sharded along `dim`
    all_gather,      // sharded along `dim` -> replicated
    all_to_all,      // sharded along `from_dim` -> sharded along `dim`
    slice,           // replicated -> sharded along `dim`: local, no bytes
  } kind;
  Axes axes;
  int64_t dim = 0;
  int64_t from_dim = 0;
  int64_t elements_sent = 0;  // per rank
  Layout result;
};

struct Plan {
  std::vector<Step> steps;
  int64_t elements_sent() const;  // per rank, over all steps
  std::string describe() const;
};

// Both layouts have the same logical shape and mesh (ShapeError otherwise). `to` may not be partial where `from` is not.
Plan plan_redistribution(const Layout& from, const Layout& to);

// `x`: local piece in `from`; returns the local piece in `to`. No autograd.
at::Tensor redistribute(const at::Tensor& x, const Layout& from, const Layout& to, const comm::Mesh& mesh);

// The piece of a logical tensor that `layout` gives to `rank` (a view), and the inverse: all pieces gathered on every rank.
at::Tensor local_piece(const at::Tensor& full, const Layout& layout, int rank);
at::Tensor gather_full(const at::Tensor& x, const Layout& layout, const comm::Mesh& mesh);

}  // namespace colossal::tensor
