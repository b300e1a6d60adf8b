// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/dropout.h"

#include <ATen/ops/cat.h>

#include "colossal/base/error.h"
#include "colossal/tensor/random.h"

namespace colossal::nn {

Dropout::Dropout(LayerContextPtr context, double p, std::string site)
    : context_(std::move(context)), p_(p), site_(std::move(site)) {
  if (!(p >= 0 && p < 1)) throw ShapeError(fmt::format("dropout {}: p = {}. Allowed: 0 <= p < 1.", site_, p));
}

at::Tensor Dropout::forward(const at::Tensor& x) {
  const StepState& state = *context_->state;
  if (p_ == 0 || !state.training) return x;
  const comm::Mesh& mesh = context_->mesh;
  const Placement& placement = context_->stream;
  tensor::Slice slice = {tensor::Shape(x.dim(), 0), x.sizes().vec()};
  tensor::Shape shape = slice.size;
  slice.offset[0] = first_global_row(*context_, placement, x.size(0));
  shape[0] = std::max(state.global_rows, slice.offset[0] + slice.size[0]);  // rows may be padded
  if (!placement.sequence.empty()) {
    shape[1] = state.sequence_length;
    const Part part = part_of(shape[1], placement.sequence, mesh.shape(), mesh.rank());
    slice.offset[1] = std::min(part.begin, shape[1]);
    slice.size[1] = part.valid;
  }
  shape.back() *= mesh.shape().axes_size(placement.hidden);
  slice.offset.back() = mesh.shape().group_index(mesh.rank(), placement.hidden) * x.size(-1);
  const auto key = tensor::RandomKey(state.seed).named(site_).at_step(static_cast<uint64_t>(state.step));
  if (slice.size[1] == x.size(1)) return tensor::dropout(x, p_, key, shape, slice);
  const int64_t valid = slice.size[1];  // padding has no element of the mask
  at::Tensor rest = x.narrow(1, valid, x.size(1) - valid);
  if (valid == 0) return rest;
  return at::cat({tensor::dropout(x.narrow(1, 0, valid).contiguous(), p_, key, shape, slice), rest}, 1);
}

}  // namespace colossal::nn
