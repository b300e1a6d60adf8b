// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/foreign_layout.h"

#include "colossal/base/error.h"

namespace colossal::checkpoint {
namespace {

// The logical shape of what `foreign` covers, and without the padding rows that only we have.
struct Part {
  Shape padded;
  Shape stored;
};

Part part_of(const Shape& logical, const models::ForeignTensor& foreign) {
  Part part;
  part.padded.assign(logical.begin() + (foreign.part >= 0 ? 1 : 0), logical.end());
  part.stored = part.padded;
  const int64_t elements = c10::multiply_integers(foreign.shape);
  if (elements != c10::multiply_integers(part.padded)) part.stored[0] = foreign.shape[0];
  if (elements != c10::multiply_integers(part.stored) || part.stored[0] > part.padded[0]) {
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
  const Part part = part_of(full.sizes().vec(), foreign);
  at::Tensor x = foreign.part >= 0 ? full.select(0, foreign.part) : full;
  if (part.stored != part.padded) x = x.narrow(0, 0, part.stored[0]);
  return x.permute(rotation_order(x.dim(), foreign.rotation)).reshape(foreign.shape).contiguous();
}

void read_foreign(const SafetensorsSet& weights, const std::string& name,
                  const models::ForeignTensor& foreign, const Shape& logical, const Slice& slice,
                  const at::Tensor& into) {
  const Part part = part_of(logical, foreign);
  at::Tensor target = into;
  Slice wanted = slice;
  if (foreign.part >= 0) {
    const int64_t index = foreign.part - slice.offset[0];
    if (index < 0 || index >= slice.size[0]) return;
    target = into.select(0, index);
    wanted = {{slice.offset.begin() + 1, slice.offset.end()}, {slice.size.begin() + 1, slice.size.end()}};
  }
  if (part.stored != part.padded) {
    const int64_t rows = std::clamp<int64_t>(part.stored[0] - wanted.offset[0], 0, wanted.size[0]);
    target.narrow(0, rows, wanted.size[0] - rows).zero_();
    if (rows == 0) return;
    target = target.narrow(0, 0, rows);
    wanted.size[0] = rows;
  }
  const int64_t dims = static_cast<int64_t>(wanted.size.size());
  const Slice in_file = {rotated(wanted.offset, foreign.rotation), rotated(wanted.size, foreign.rotation)};
  const at::Tensor piece = weights.read(name, rotated(part.stored, foreign.rotation), in_file);
  target.copy_(dims == 0 ? piece : piece.permute(rotation_order(dims, (dims - foreign.rotation) % dims)));
}

}  // namespace colossal::checkpoint
