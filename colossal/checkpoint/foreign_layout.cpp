// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/foreign_layout.h"

#include "colossal/base/error.h"

namespace colossal::checkpoint {
namespace {

// The logical shape of what `foreign` covers.
Shape part_of(const Shape& logical, const models::ForeignTensor& foreign) {
  Shape part(logical.begin() + (foreign.part >= 0 ? 1 : 0), logical.end());
  if (c10::multiply_integers(foreign.shape) != c10::multiply_integers(part)) {
    throw InternalError(
        fmt::format("foreign tensor {} does not fit parameter {}", foreign.name, foreign.parameter));
  }
  return part;
}

template <class T>
std::vector<T> rotated(std::vector<T> dims, int64_t by) {
  std::rotate(dims.begin(), dims.begin() + by, dims.end());
  return dims;
}

// Dim i of the result is dim order[i] of the source, for a rotation to the left.
std::vector<int64_t> rotation_order(int64_t dims, int64_t by) {
  std::vector<int64_t> order(dims);
  for (int64_t i = 0; i < dims; ++i) order[i] = (i + by) % dims;
  return order;
}

}  // namespace

at::Tensor to_foreign(const at::Tensor& full, const models::ForeignTensor& foreign) {
  const auto dims = static_cast<int64_t>(part_of(full.sizes().vec(), foreign).size());
  const at::Tensor x = foreign.part >= 0 ? full.select(0, foreign.part) : full;
  return x.permute(rotation_order(dims, foreign.rotation)).reshape(foreign.shape).contiguous();
}

void read_foreign(const SafetensorsSet& weights, const std::string& name,
                  const models::ForeignTensor& foreign, const Shape& logical, const Slice& slice,
                  const at::Tensor& into) {
  const Shape part = part_of(logical, foreign);
  at::Tensor target = into;
  Slice wanted = slice;
  if (foreign.part >= 0) {
    const int64_t index = foreign.part - slice.offset[0];
    if (index < 0 || index >= slice.size[0]) return;
    target = into.select(0, index);
    wanted = {{slice.offset.begin() + 1, slice.offset.end()}, {slice.size.begin() + 1, slice.size.end()}};
  }
  const int64_t dims = static_cast<int64_t>(wanted.size.size());
  const Slice in_file = {rotated(wanted.offset, foreign.rotation), rotated(wanted.size, foreign.rotation)};
  const at::Tensor piece = weights.read(name, rotated(part, foreign.rotation), in_file);
  target.copy_(dims == 0 ? piece : piece.permute(rotation_order(dims, (dims - foreign.rotation) % dims)));
}

}  // namespace colossal::checkpoint
