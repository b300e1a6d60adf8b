// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/mesh_shape.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::comm {

MeshShape::MeshShape(std::vector<Axis> axes) : axes_(std::move(axes)) {
  std::vector<std::string> problems;
  std::set<std::string> seen;
  int64_t size = 1;
  for (size_t i = 0; i < axes_.size(); ++i) {
    const Axis& axis = axes_[i];
    if (axis.name.empty())
      problems.push_back(fmt::format("mesh: axis {} has no name. Give every axis a name.", i));
    if (!axis.name.empty() && !seen.insert(axis.name).second) {
      problems.push_back(fmt::format("mesh: two axes are named \"{}\". Names must differ.", axis.name));
    }
    if (axis.size < 1) {
      problems.push_back(
          fmt::format("mesh: axis \"{}\" has size {}. Allowed: 1 or more.", axis.name, axis.size));
    } else {
      size = std::min<int64_t>(size * axis.size, int64_t{1} << 31);
    }
  }
  if (size > INT32_MAX) problems.emplace_back("mesh: the product of the axes exceeds 2147483647 ranks.");
  if (!problems.empty()) throw ConfigError(problems);
  size_ = static_cast<int>(size);
}

bool MeshShape::has(std::string_view axis) const {
  return std::any_of(axes_.begin(), axes_.end(), [&](const Axis& a) { return a.name == axis; });
}

int MeshShape::axis_index(std::string_view axis) const {
  for (size_t i = 0; i < axes_.size(); ++i) {
    if (axes_[i].name == axis) return static_cast<int>(i);
  }
  std::vector<std::string> names;
  for (const Axis& a : axes_) names.push_back(a.name);
  throw InternalError(
      fmt::format("mesh: no axis \"{}\". There are: {}.", axis, names.empty() ? "none" : join(names, ", ")));
}

int MeshShape::axes_size(const Axes& axes) const {
  int size = 1;
  for (const std::string& axis : axes) size *= axis_size(axis);
  return size;
}

std::vector<int> MeshShape::coordinate(int rank) const {
  if (rank < 0 || rank >= size_) {
    throw InternalError(
        fmt::format("mesh {}: rank {} of {}. Allowed: 0 to {}.", describe(), rank, size_, size_ - 1));
  }
  std::vector<int> coordinate(axes_.size());
  for (size_t i = axes_.size(); i-- > 0;) {
    coordinate[i] = rank % axes_[i].size;
    rank /= axes_[i].size;
  }
  return coordinate;
}

int MeshShape::coordinate(int rank, std::string_view axis) const {
  const int index = axis_index(axis);
  return coordinate(rank)[index];
}

int MeshShape::rank(const std::vector<int>& coordinate) const {
  if (coordinate.size() != axes_.size()) {
    throw InternalError(fmt::format("mesh {}: a coordinate of {} numbers for {} axes.", describe(),
                                    coordinate.size(), axes_.size()));
  }
  int rank = 0;
  for (size_t i = 0; i < axes_.size(); ++i) {
    if (coordinate[i] < 0 || coordinate[i] >= axes_[i].size) {
      throw InternalError(fmt::format("mesh {}: {} along \"{}\". Allowed: 0 to {}.", describe(),
                                      coordinate[i], axes_[i].name, axes_[i].size - 1));
    }
    rank = rank * axes_[i].size + coordinate[i];
  }
  return rank;
}

std::vector<int> MeshShape::group_ranks(int rank, const Axes& axes) const {
  std::vector<int> at = coordinate(rank);
  std::vector<int> where;
  for (const std::string& axis : axes) {
    where.push_back(axis_index(axis));
    if (std::count(axes.begin(), axes.end(), axis) > 1) {
      throw InternalError(fmt::format("mesh: axis \"{}\" twice in one group.", axis));
    }
    at[where.back()] = 0;
  }
  std::vector<int> ranks(axes_size(axes));
  for (int& member : ranks) {
    member = this->rank(at);
    for (size_t i = where.size(); i-- > 0;) {  // count up, last axis fastest
      if (++at[where[i]] < axes_[where[i]].size) break;
      at[where[i]] = 0;
    }
  }
  return ranks;
}

int MeshShape::group_index(int rank, const Axes& axes) const {
  const std::vector<int> at = coordinate(rank);
  int index = 0;
  for (const std::string& axis : axes) {
    const int i = axis_index(axis);
    index = index * axes_[i].size + at[i];
  }
  return index;
}

std::string MeshShape::describe() const {
  std::vector<std::string> parts;
  for (const Axis& axis : axes_) parts.push_back(fmt::format("{} {}", axis.name, axis.size));
  return parts.empty() ? "1 rank" : join(parts, " x ");
}

}  // namespace colossal::comm
