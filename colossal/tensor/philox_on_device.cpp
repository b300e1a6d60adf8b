// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/philox_on_device.h"

#include "colossal/tensor/philox.h"

namespace colossal::tensor {
namespace {

constexpr int64_t kLow = 0xffffffff;

at::Tensor global_indices(const Shape& shape, const Slice& slice, at::Device device) {
  at::Tensor index = at::zeros({}, at::device(device).dtype(at::kLong));
  int64_t stride = 1;
  for (size_t d = shape.size(); d-- > 0;) {
    const at::Tensor along =
        at::arange(slice.offset[d], slice.offset[d] + slice.size[d], index.options()).mul_(stride);
    Shape view(shape.size(), 1);
    view[d] = slice.size[d];
    index = index + along.view(view);
    stride *= shape[d];
  }
  return index;
}

at::Tensor high(const at::Tensor& product) { return product.bitwise_right_shift(32).bitwise_and_(kLow); }
at::Tensor low(const at::Tensor& product) { return product.bitwise_and(kLow); }

}  // namespace

at::Tensor words_on_device(const RandomKey& key, const Shape& shape, const Slice& slice, at::Device device) {
  const at::Tensor index = global_indices(shape, slice, device);
  const at::Tensor block = index.bitwise_right_shift(6).mul_(16).add_(index.bitwise_and(15));
  const at::Tensor word = index.bitwise_right_shift(4).bitwise_and_(3);
  const auto stream = static_cast<int64_t>(key.stream());
  at::Tensor c0 = low(block), c1 = high(block);
  at::Tensor c2 = at::full_like(index, stream & kLow), c3 = at::full_like(index, stream >> 32 & kLow);
  // 32-bit factors in int64: the product wraps, its bits are those of the unsigned one.
  auto k0 = static_cast<uint32_t>(key.seed()), k1 = static_cast<uint32_t>(key.seed() >> 32);
  for (int round = 0; round < 10; ++round, k0 += 0x9E3779B9, k1 += 0xBB67AE85) {
    const at::Tensor p0 = c0 * int64_t{0xD2511F53}, p1 = c2 * int64_t{0xCD9E8D57};
    c0 = high(p1).bitwise_xor_(c1).bitwise_xor_(static_cast<int64_t>(k0));
    c2 = high(p0).bitwise_xor_(c3).bitwise_xor_(static_cast<int64_t>(k1));
    c1 = low(p1);
    c3 = low(p0);
  }
  return at::where(word.lt(2), at::where(word.eq(0), c0, c1), at::where(word.eq(2), c2, c3));
}

}  // namespace colossal::tensor
