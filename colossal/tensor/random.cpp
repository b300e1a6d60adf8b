// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/random.h"

#include <ATen/Parallel.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include <cstring>

#include "colossal/base/error.h"
#include "colossal/tensor/philox.h"
#include "colossal/tensor/random_slice.h"

namespace colossal::tensor {
namespace {

constexpr uint64_t kNameSalt = 0x6e616d65, kStepSalt = 0x73746570;  // keeps names and steps apart

template <typename T, typename Convert>
void fill_from_words(at::Tensor& out, const RandomKey& key, const SliceRuns& runs, Convert convert) {
  T* data = out.data_ptr<T>();
  for_each_piece<uint32_t>(
      runs, [&](int64_t tile, int64_t n, uint32_t* w) { random_words(key.seed(), key.stream(), tile, n, w); },
      [&](int64_t position, int64_t n, const uint32_t* words) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) data[position + i] = convert(words[i]);
      });
}

template <typename T>
void fill_normal(at::Tensor& out, const RandomKey& key, const SliceRuns& runs, double mean, double stddev) {
  T* data = out.data_ptr<T>();
  for_each_piece<double>(
      runs, [&](int64_t tile, int64_t n, double* z) { random_normals(key.seed(), key.stream(), tile, n, z); },
      [&](int64_t position, int64_t n, const double* z) {
#pragma omp simd
        for (int64_t i = 0; i < n; ++i) data[position + i] = static_cast<T>(mean + stddev * z[i]);
      });
}

at::Tensor allocate(const Slice& slice, at::ScalarType dtype, at::Device device) {
  return at::empty(slice.size, at::device(device).dtype(dtype));
}

// Drawn on the CPU for other devices too: the same bits everywhere, and it happens once per run.
template <typename Draw>
at::Tensor drawn(const Slice& slice, at::ScalarType dtype, at::Device device, Draw draw) {
  if (device.is_meta()) return allocate(slice, dtype, device);
  at::Tensor out = allocate(slice, dtype, at::kCPU);
  draw(out);
  return device.is_cpu() ? out : out.to(device);
}

}  // namespace

RandomKey RandomKey::named(std::string_view name) const {
  RandomKey key = *this;
  key.stream_ = XXH3_64bits_withSeed(name.data(), name.size(), stream_ ^ kNameSalt);
  return key;
}

RandomKey RandomKey::at_step(uint64_t step) const {
  RandomKey key = *this;
  unsigned char bytes[8];
  for (int i = 0; i < 8; ++i) bytes[i] = static_cast<unsigned char>(step >> (8 * i));
  key.stream_ = XXH3_64bits_withSeed(bytes, sizeof bytes, stream_ ^ kStepSalt);
  return key;
}

at::Tensor uniform(const RandomKey& key, const Shape& shape, const Slice& slice, double low, double high,
                   at::ScalarType dtype, at::Device device) {
  const SliceRuns runs(shape, slice);
  return drawn(slice, dtype, device, [&](at::Tensor& out) {
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dtype, "uniform", [&] {
      fill_from_words<scalar_t>(out, key, runs, [=](uint32_t w) {
        return static_cast<scalar_t>(low + (high - low) * ((static_cast<double>(w) + 0.5) * 0x1p-32));
      });
    });
  });
}

at::Tensor normal(const RandomKey& key, const Shape& shape, const Slice& slice, double mean, double stddev,
                  at::ScalarType dtype, at::Device device) {
  const SliceRuns runs(shape, slice);
  return drawn(slice, dtype, device, [&](at::Tensor& out) {
    AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dtype, "normal",
                                    [&] { fill_normal<scalar_t>(out, key, runs, mean, stddev); });
  });
}

at::Tensor random_ints(const RandomKey& key, const Shape& shape, const Slice& slice, int64_t low,
                       int64_t high) {
  const uint64_t range = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  if (high <= low || range > (uint64_t{1} << 32)) {
    throw ShapeError(
        fmt::format("random_ints: the range [{}, {}) has no values or more than 2^32.", low, high));
  }
  const SliceRuns runs(shape, slice);
  at::Tensor out = allocate(slice, at::kLong, at::kCPU);
  fill_from_words<int64_t>(out, key, runs, [=](uint32_t w) {
    // Multiply and shift: the top 32 bits of w * range. 2^32 itself is all of the word.
    return low + static_cast<int64_t>(range >> 32 ? w : (w * range) >> 32);
  });
  return out;
}

}  // namespace colossal::tensor
