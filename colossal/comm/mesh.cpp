// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/mesh.h"

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::comm {

Mesh::Mesh() = default;

Mesh::Mesh(std::shared_ptr<World> world, MeshShape shape)
    : world_(std::move(world)), shape_(std::move(shape)), rank_(world_->rank()) {
  if (shape_.size() == world_->size()) return;
  throw ConfigError(fmt::format("mesh {}: {} ranks for a world of {}. The product of the axes must be {}.",
                                shape_.describe(), shape_.size(), world_->size(), world_->size()));
}

Group Mesh::group(const Axes& axes) const {
  if (shape_.axes_size(axes) == 1) return Group();
  return world_->group(shape_.group_ranks(rank_, axes), join(axes, "+"));
}

Group Mesh::all() const { return world_ == nullptr || world_->size() == 1 ? Group() : world_->group(); }

}  // namespace colossal::comm
