// SPDX-License-Identifier: Apache-2.0
// How one logical tensor lies on a mesh: for each dim the ordered axes that shard it, and the axes over which
// it is a partial sum.
//
//   Layout w({768, 3072}, mesh_shape, {{}, {"tensor"}});       // columns over "tensor"
//   w.local_shape();                                           // {768, 768} on tensor = 4
//   w.slice(rank);                                             // offset and size of every dim
//
// Several axes on one dim split it outermost first (JAX's PartitionSpec). Axes not named hold replicas. Every
// sharded dim divides by the product of its axes; padding is the business of whoever chooses the logical
// shape. Thread-safe: an immutable value; no communication, works for any mesh size.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "colossal/comm/mesh_shape.h"

namespace colossal::tensor {

using Shape = std::vector<int64_t>;
using comm::Axes;
using comm::MeshShape;

// Where a piece lies within the logical tensor.
struct Slice {
  Shape offset;
  Shape size;
  bool operator==(const Slice&) const = default;
};

class Layout {
 public:
  Layout() = default;  // a scalar on a mesh of one
  // Throws ShapeError naming dim, size and axes that do not fit, repeated or unknown axes.
  Layout(Shape shape, MeshShape mesh, std::vector<Axes> dims, Axes partial = {});
  static Layout replicated(Shape shape, MeshShape mesh);

  const Shape& shape() const { return shape_; }  // logical
  const MeshShape& mesh() const { return mesh_; }
  const std::vector<Axes>& dims() const { return dims_; }
  const Axes& partial() const { return partial_; }

  Shape local_shape() const;  // the same on every rank
  int64_t numel() const;      // of the logical tensor
  int64_t local_numel() const;
  Slice slice(int rank) const;
  bool is_sharded() const;                                 // over any axis of size > 1
  bool is_replicated_over(const std::string& axis) const;  // neither sharded nor partial there
  Axes replicated_axes() const;
  Axes sharded_axes() const;  // in mesh order
  int num_replicas() const;   // product of the replicated axes
  // One replica of every shard is the owner (coordinate 0 on all replicated axes): it writes checkpoints,
  // counts in norms.
  bool is_owner(int rank) const;

  Layout with_partial(Axes partial) const;
  Layout with_shape(Shape shape, std::vector<Axes> dims) const;
  std::string describe() const;  // "[768, 3072/tensor] partial(data)"
  bool operator==(const Layout&) const = default;

 private:
  Shape shape_;
  MeshShape mesh_;
  std::vector<Axes> dims_;
  Axes partial_;
};

}  // namespace colossal::tensor
