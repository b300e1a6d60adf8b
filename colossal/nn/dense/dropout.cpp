// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/dropout.h"

#include "colossal/base/error.h"
#include "colossal/tensor/random.h"

namespace colossal::nn {

DenseDropout::DenseDropout(DenseContextPtr context, double p, std::string site)
    : context_(std::move(context)), p_(p), site_(std::move(site)) {
  if (!(p >= 0 && p < 1)) throw ShapeError(fmt::format("dropout {}: p = {}. Allowed: 0 <= p < 1.", site_, p));
}

at::Tensor DenseDropout::forward(const at::Tensor& x) {
  const StepState& state = *context_->state;
  if (p_ == 0 || !state.training) return x;
  tensor::Shape shape = x.sizes().vec();
  tensor::Slice slice = {tensor::Shape(shape.size(), 0), shape};
  slice.offset[0] = state.first_row;
  shape[0] = state.global_rows;
  const auto key = tensor::RandomKey(state.seed).named(site_).at_step(static_cast<uint64_t>(state.step));
  return tensor::dropout(x, p_, key, shape, slice);
}

}  // namespace colossal::nn
