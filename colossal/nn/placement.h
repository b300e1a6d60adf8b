// SPDX-License-Identifier: Apache-2.0
// Where the parts of an activation [batch, sequence, hidden] lie: for each dim the mesh axes that shard it, outermost first.
//
//   Placement stream{.batch = {"row"}, .hidden = {"column"}};          // 2D tensor parallelism
//   Part rows = part_of(batch_size, stream.batch, mesh.shape(), rank);  // the rows of this rank
//
// Axes that no dim names hold replicas. Thread-safe: values and pure functions.
#pragma once
#include <algorithm>
#include <cstdint>

#include "colossal/comm/mesh_shape.h"

namespace colossal::nn {

struct Placement {
  comm::Axes batch = {};
  comm::Axes sequence = {};
  comm::Axes hidden = {};

  // Over these the gradient of a weight that every token meets is a partial sum.
  comm::Axes token_axes() const {
    comm::Axes axes = batch;
    axes.insert(axes.end(), sequence.begin(), sequence.end());
    return axes;
  }
};

// This rank's part of a dim. A size that does not divide is cut as if it were rounded up.
struct Part {
  int64_t begin = 0;
  int64_t size = 0;   // the same on every rank
  int64_t valid = 0;  // the first so many are of the dim itself, the rest is padding
};

inline Part part_of(int64_t size, const comm::Axes& axes, const comm::MeshShape& mesh, int rank) {
  const int64_t ways = mesh.axes_size(axes), each = (size + ways - 1) / ways;
  const int64_t begin = mesh.group_index(rank, axes) * each;
  return {begin, each, std::clamp<int64_t>(size - begin, 0, each)};
}

}  // namespace colossal::nn
