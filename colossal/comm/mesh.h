// SPDX-License-Identifier: Apache-2.0
// All ranks of a run arranged in named axes, with the groups of this rank along them.
//
//   Mesh mesh(world, MeshShape({{"data", 2}, {"tensor", 2}}));
//   all_reduce(gradient, mesh.group("data"));
//   all_reduce(norm, mesh.group({"data", "tensor"}));
//
// A cheap handle, copied freely. Thread safety: one thread at a time.
#pragma once
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "colossal/comm/mesh_shape.h"
#include "colossal/comm/world.h"

namespace colossal::comm {

class Mesh {
 public:
  Mesh();  // one rank, no axes, no world
  // Throws ConfigError when the product of the axes is not the world size.
  Mesh(std::shared_ptr<World> world, MeshShape shape);

  const MeshShape& shape() const { return shape_; }
  int rank() const { return rank_; }
  int coordinate(std::string_view axis) const { return shape_.coordinate(rank_, axis); }
  int axis_size(std::string_view axis) const { return shape_.axis_size(axis); }
  bool has(std::string_view axis) const { return shape_.has(axis); }

  // Groups of this rank. Axes that the mesh lacks throw InternalError; the group of no axes, or of size 1, is
  // Group().
  Group group(const std::string& axis) const { return group(Axes{axis}); }
  Group group(const Axes& axes) const;
  Group group(std::initializer_list<const char*> axes) const { return group(Axes(axes.begin(), axes.end())); }
  Group all() const;  // every rank of the world
  World& world() const { return *world_; }

 private:
  std::shared_ptr<World> world_;
  MeshShape shape_;
  int rank_ = 0;
};

}  // namespace colossal::comm
