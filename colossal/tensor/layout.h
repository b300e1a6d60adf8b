// SPDX-License-Identifier: Apache-2.0
// How one logical tensor lies on a mesh: for each dim the ordered axes that shard it, and the axes over which
// it is a partial sum.
//
//   Layout w({768, 3072}, mesh_shape, {{}, {"tensor"}});       // columns over "tensor"
//   w.local_shape();                                           // {768, 768} on tensor = 4
//   w.slice(rank);                                             // offset and size of every dim
//   auto v = Layout::padded({127, 64}, mesh_shape, {{"tensor"}, {}});   // 4 x 32 rows, the last one padding
//
// Several axes on one dim split it outermost first (JAX's PartitionSpec). Axes not named hold replicas. Every
// sharded dim divides by the product of its axes, or is padded at its end until it does. Padding exists in local
// pieces only, where it holds zeros: not in the logical shape, a slice, a gathered tensor, a file or a norm.
// Thread-safe: an immutable value; no communication, works for any mesh size.
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
  // Like the constructor, but a dim that does not divide by the product of its axes is cut as if it were
  // rounded up to the next size that does.
  static Layout padded(Shape shape, MeshShape mesh, std::vector<Axes> dims, Axes partial = {});

  const Shape& shape() const { return shape_; }          // logical
  const Shape& padded_shape() const { return padded_; }  // what is cut evenly: shape() without padding
  bool is_padded() const { return padded_ != shape_; }
  const MeshShape& mesh() const { return mesh_; }
  const std::vector<Axes>& dims() const { return dims_; }
  const Axes& partial() const { return partial_; }

  Shape local_shape() const;  // with padding, so the same on every rank
  int64_t numel() const;      // of the logical tensor
  int64_t local_numel() const;
  // What the rank holds of the logical tensor: the first slice.size of every dim of its piece, the rest is
  // padding. The last ranks along a padded dim may hold nothing of it (size 0).
  Slice slice(int rank) const;
  bool is_sharded() const;                                 // over any axis of size > 1
  bool is_replicated_over(const std::string& axis) const;  // neither sharded nor partial there
  Axes replicated_axes() const;
  Axes sharded_axes() const;  // in mesh order
  int num_replicas() const;   // product of the replicated axes
  // One replica of every shard is the owner (coordinate 0 on all replicated axes): it writes checkpoints,
  // counts in norms.
  bool is_owner(int rank) const;

  // Padded where they have to be if this layout is.
  Layout with_partial(Axes partial) const;
  Layout with_shape(Shape shape, std::vector<Axes> dims) const;
  std::string describe() const;  // "[768, 3072/tensor] partial(data)", "[127 (128)/tensor, 64]"
  bool operator==(const Layout&) const = default;

 private:
  enum class Rest { refused, padded };  // of a dim that does not divide
  Layout(Shape shape, MeshShape mesh, std::vector<Axes> dims, Axes partial, Rest rest);
  Rest rest() const { return is_padded() ? Rest::padded : Rest::refused; }

  Shape shape_, padded_;
  MeshShape mesh_;
  std::vector<Axes> dims_;
  Axes partial_;
};

}  // namespace colossal::tensor
