// SPDX-License-Identifier: Apache-2.0
// The arithmetic of a mesh: named axes, outermost first, and rank <-> coordinate. No communication, any size.
//
//   MeshShape shape({{"data", 2}, {"tensor", 4}});
//   shape.coordinate(6);                          // {1, 2}
//   shape.group_ranks(6, {"tensor"});             // {4, 5, 6, 7}
//
// Thread-safe: an immutable value.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace colossal::comm {

struct Axis {
  std::string name;
  int size = 1;
  bool operator==(const Axis&) const = default;
};

// Names of axes, in the order that the caller wants (see group_ranks).
using Axes = std::vector<std::string>;

class MeshShape {
 public:
  // The mesh of one rank, without axes.
  MeshShape() = default;
  // Throws ConfigError with every problem: empty or repeated names, sizes below 1.
  explicit MeshShape(std::vector<Axis> axes);

  const std::vector<Axis>& axes() const { return axes_; }
  int size() const { return size_; }  // product of all axes
  bool has(std::string_view axis) const;
  // Throws InternalError listing the axes there are.
  int axis_index(std::string_view axis) const;
  int axis_size(std::string_view axis) const { return axes_[axis_index(axis)].size; }
  int axes_size(const Axes& axes) const;  // product

  std::vector<int> coordinate(int rank) const;
  int coordinate(int rank, std::string_view axis) const;
  int rank(const std::vector<int>& coordinate) const;

  // Ranks that differ from `rank` only along `axes`; the last of `axes` varies fastest.
  std::vector<int> group_ranks(int rank, const Axes& axes) const;
  // Position of `rank` among group_ranks(rank, axes).
  int group_index(int rank, const Axes& axes) const;

  std::string describe() const;  // "data 2 x tensor 4"
  bool operator==(const MeshShape&) const = default;

 private:
  std::vector<Axis> axes_;
  int size_ = 1;
};

}  // namespace colossal::comm
