// SPDX-License-Identifier: Apache-2.0
// From one layout to another: the cheapest plan with exact bytes, and its execution by collectives.
//
//   Plan plan = plan_redistribution(from, to);    // pure, any mesh size
//   at::Tensor y = redistribute(x, from, to, mesh);
//
// Thread safety: plans are values; redistribute is a collective over the axes that the plan names.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/tensor/layout.h"

namespace colossal::tensor {

// One move of a plan: along one dim, over the group of `axes` (the last varies fastest).
struct Step {
  enum class Kind {
    all_reduce,      // partial over `axes` -> replicated
    reduce_scatter,  // partial over `axes` -> sharded along `dim`, inside the axes that shard it already
    all_gather,      // the innermost axes of `dim` -> replicated
    all_to_all,      // the innermost axes of `from_dim` -> innermost axes of `dim`
    slice,           // replicated over `axes` -> sharded along `dim`: local, no bytes
    recut,           // `dim`, whole, loses its padding and is cut as `result` says: local, no bytes
  } kind;
  Axes axes;
  int64_t dim = 0;
  int64_t from_dim = 0;
  int64_t num_members = 1;  // of the group
  int64_t elements_in = 0;  // local elements before the step
  Layout result;            // of the padded shape, axes of size 1 left out; of a recut: the goal

  int64_t bytes_sent(int64_t element_size) const;  // per rank, as comm's recorder counts them
};

struct Plan {
  std::vector<Step> steps;
  int64_t bytes_sent(int64_t element_size) const;  // per rank, over all steps
  std::string describe() const;  // "reduce_scatter(data) to dim 0, all_gather(row) of dim 1"
};

// The plan that sends least per rank, then with the fewest collectives: a shortest path over the layouts that these moves reach.
// Axes that neither layout names hold replicas throughout. A dim that the two pad to different sizes is gathered and recut at the end.
// Both layouts have the same logical shape and mesh, and `to` is not partial where `from` is not (ShapeError otherwise).
Plan plan_redistribution(const Layout& from, const Layout& to);

// `x`: local piece in `from` (any shape with its elements in order); returns the local piece in `to`, contiguous, of shape
// to.local_shape(). No autograd. `x` is never written to; it is returned itself where nothing has to move.
at::Tensor redistribute(const at::Tensor& x, const Layout& from, const Layout& to, const comm::Mesh& mesh);

// The piece of a logical tensor that `layout` gives to `rank` (a view; a copy where zeros are behind it), and the inverse: all pieces
// summed and gathered on every rank, without padding.
at::Tensor local_piece(const at::Tensor& full, const Layout& layout, int rank);
at::Tensor gather_full(const at::Tensor& x, const Layout& layout, const comm::Mesh& mesh);

// What of the local piece `x` (any shape with its elements in order) is not padding: a view of shape layout.slice(rank).size; `x`
// itself, as it is, where the layout has no padding.
at::Tensor without_padding(const at::Tensor& x, const Layout& layout, int rank);

}  // namespace colossal::tensor
