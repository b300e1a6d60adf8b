// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/random_slice.h"

#include <fmt/ranges.h>

#include "colossal/base/error.h"

namespace colossal::tensor {

SliceRuns::SliceRuns(const Shape& shape, const Slice& slice) {
  bool inside = slice.offset.size() == shape.size() && slice.size.size() == shape.size();
  for (size_t d = 0; inside && d < shape.size(); ++d) {
    inside = slice.offset[d] >= 0 && slice.size[d] >= 0 && slice.offset[d] + slice.size[d] <= shape[d];
  }
  if (!inside) {
    throw ShapeError(fmt::format("random numbers: the slice of size [{}] at [{}] is not inside [{}].",
                                 fmt::join(slice.size, ", "), fmt::join(slice.offset, ", "),
                                 fmt::join(shape, ", ")));
  }
  int64_t stride = 1;
  bool full = true;  // all inner dims are whole, so this dim still extends the run
  for (size_t d = shape.size(); d-- > 0;) {
    numel_ *= slice.size[d];
    base_ += slice.offset[d] * stride;
    if (full) {
      run_length_ *= slice.size[d];
      full = slice.size[d] == shape[d];
    } else {
      outer_sizes_.insert(outer_sizes_.begin(), slice.size[d]);
      outer_strides_.insert(outer_strides_.begin(), stride);
    }
    stride *= shape[d];
  }
}

int64_t SliceRuns::start(int64_t run) const {
  int64_t index = base_;
  for (size_t d = outer_sizes_.size(); d-- > 0;) {
    index += run % outer_sizes_[d] * outer_strides_[d];
    run /= outer_sizes_[d];
  }
  return index;
}

}  // namespace colossal::tensor
