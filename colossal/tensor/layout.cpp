// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/layout.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <set>

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::tensor {
namespace {

void check_axis(const std::string& axis, const MeshShape& mesh, std::set<std::string>& seen,
                const Shape& shape) {
  if (!mesh.has(axis)) {
    std::vector<std::string> names;
    for (const comm::Axis& a : mesh.axes()) names.push_back(a.name);
    throw ShapeError(fmt::format("layout of [{}]: the mesh ({}) has no axis \"{}\".{}",
                                 fmt::join(shape, ", "), mesh.describe(), axis,
                                 did_you_mean(nearest_spelling(axis, names))));
  }
  if (!seen.insert(axis).second) {
    throw ShapeError(
        fmt::format("layout of [{}]: axis \"{}\" is used twice. An axis shards one dim, or is partial, or "
                    "holds replicas.",
                    fmt::join(shape, ", "), axis));
  }
}

}  // namespace

Layout::Layout(Shape shape, MeshShape mesh, std::vector<Axes> dims, Axes partial)
    : Layout(std::move(shape), std::move(mesh), std::move(dims), std::move(partial), Rest::refused) {}

Layout::Layout(Shape shape, MeshShape mesh, std::vector<Axes> dims, Axes partial, Rest rest)
    : shape_(std::move(shape)),
      padded_(shape_),
      mesh_(std::move(mesh)),
      dims_(std::move(dims)),
      partial_(std::move(partial)) {
  if (dims_.size() != shape_.size()) {
    throw ShapeError(
        fmt::format("layout of [{}]: axes for {} dims were given. Give one list for each of the {} dims.",
                    fmt::join(shape_, ", "), dims_.size(), shape_.size()));
  }
  std::set<std::string> seen;
  for (size_t d = 0; d < dims_.size(); ++d) {
    if (shape_[d] < 0) {
      throw ShapeError(fmt::format("layout of [{}]: dim {} is negative.", fmt::join(shape_, ", "), d));
    }
    for (const std::string& axis : dims_[d]) check_axis(axis, mesh_, seen, shape_);
    const int pieces = mesh_.axes_size(dims_[d]);
    padded_[d] = (shape_[d] + pieces - 1) / pieces * pieces;
    if (padded_[d] != shape_[d] && rest == Rest::refused) {
      throw ShapeError(fmt::format(
          "layout of [{}]: dim {} of size {} does not divide by {} ({}). Nearest sizes that do: {} and {}.",
          fmt::join(shape_, ", "), d, shape_[d], pieces, fmt::join(dims_[d], " x "), padded_[d] - pieces,
          padded_[d]));
    }
  }
  for (const std::string& axis : partial_) check_axis(axis, mesh_, seen, shape_);
}

Layout Layout::replicated(Shape shape, MeshShape mesh) {
  std::vector<Axes> dims(shape.size());
  return Layout(std::move(shape), std::move(mesh), std::move(dims));
}

Layout Layout::padded(Shape shape, MeshShape mesh, std::vector<Axes> dims, Axes partial) {
  return Layout(std::move(shape), std::move(mesh), std::move(dims), std::move(partial), Rest::padded);
}

Shape Layout::local_shape() const {
  Shape local = padded_;
  for (size_t d = 0; d < local.size(); ++d) local[d] /= mesh_.axes_size(dims_[d]);
  return local;
}

int64_t Layout::numel() const {
  int64_t n = 1;
  for (int64_t size : shape_) n *= size;
  return n;
}

int64_t Layout::local_numel() const {
  int64_t n = 1;
  for (int64_t size : local_shape()) n *= size;
  return n;
}

Slice Layout::slice(int rank) const {
  Slice slice{Shape(shape_.size(), 0), local_shape()};
  for (size_t d = 0; d < shape_.size(); ++d) {
    slice.offset[d] = std::min(mesh_.group_index(rank, dims_[d]) * slice.size[d], shape_[d]);
    slice.size[d] = std::min(slice.size[d], shape_[d] - slice.offset[d]);
  }
  return slice;
}

bool Layout::is_sharded() const {
  return std::any_of(dims_.begin(), dims_.end(), [&](const Axes& axes) { return mesh_.axes_size(axes) > 1; });
}

bool Layout::is_replicated_over(const std::string& axis) const {
  mesh_.axis_index(axis);  // throws when there is none
  const auto names = [&](const Axes& axes) {
    return std::find(axes.begin(), axes.end(), axis) != axes.end();
  };
  return !names(partial_) && std::none_of(dims_.begin(), dims_.end(), names);
}

Axes Layout::replicated_axes() const {
  Axes axes;
  for (const comm::Axis& a : mesh_.axes()) {
    if (is_replicated_over(a.name)) axes.push_back(a.name);
  }
  return axes;
}

Axes Layout::sharded_axes() const {
  Axes axes;
  for (const comm::Axis& a : mesh_.axes()) {
    const auto names = [&](const Axes& list) {
      return std::find(list.begin(), list.end(), a.name) != list.end();
    };
    if (std::any_of(dims_.begin(), dims_.end(), names)) axes.push_back(a.name);
  }
  return axes;
}

int Layout::num_replicas() const { return mesh_.axes_size(replicated_axes()); }

bool Layout::is_owner(int rank) const {
  const Axes axes = replicated_axes();
  return std::all_of(axes.begin(), axes.end(),
                     [&](const std::string& a) { return mesh_.coordinate(rank, a) == 0; });
}

Layout Layout::with_partial(Axes partial) const {
  return Layout(shape_, mesh_, dims_, std::move(partial), rest());
}

Layout Layout::with_shape(Shape shape, std::vector<Axes> dims) const {
  return Layout(std::move(shape), mesh_, std::move(dims), partial_, rest());
}

std::string Layout::describe() const {
  std::vector<std::string> dims;
  for (size_t d = 0; d < shape_.size(); ++d) {
    std::string& text = dims.emplace_back(fmt::format("{}", shape_[d]));
    if (padded_[d] != shape_[d]) text += fmt::format(" ({})", padded_[d]);
    if (!dims_[d].empty()) text += fmt::format("/{}", fmt::join(dims_[d], "/"));
  }
  std::string text = fmt::format("[{}]", fmt::join(dims, ", "));
  if (!partial_.empty()) text += fmt::format(" partial({})", fmt::join(partial_, ", "));
  return text;
}

}  // namespace colossal::tensor
