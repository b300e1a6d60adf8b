// SPDX-License-Identifier: Apache-2.0
// Dropout by counter: the mask is a pure function of (key, global index), so backward draws it again instead
// of keeping it.
#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

#include "colossal/base/error.h"
#include "colossal/tensor/philox.h"
#include "colossal/tensor/philox_on_device.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/random_slice.h"

namespace colossal::tensor {
namespace {

namespace ag = torch::autograd;

// Kept where word >= threshold; 0 keeps and 2^32 drops everything.
uint64_t drop_threshold(double p) {
  if (!(p >= 0 && p <= 1))
    throw ShapeError(fmt::format("dropout: p = {} is not a probability. Allowed: 0 to 1.", p));
  return static_cast<uint64_t>(std::llround(p * 0x1p32));
}

double keep_scale(double p) { return p < 1 ? 1 / (1 - p) : 0; }

template <typename Consume>
void for_words(const RandomKey& key, const SliceRuns& runs, Consume consume) {
  for_each_piece<uint32_t>(
      runs, [&](int64_t tile, int64_t n, uint32_t* w) { random_words(key.seed(), key.stream(), tile, n, w); },
      consume);
}

// to = kept ? from * scale : 0, `from` null standing for ones. last_dropped: the greatest word that is dropped.
template <typename T>
void apply_words(const T* from, T* to, uint32_t last_dropped, double scale, const RandomKey& key,
                 const SliceRuns& runs) {
  using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const Wide factor = static_cast<Wide>(scale);
  const T kept = static_cast<T>(scale), dropped = static_cast<T>(0.0f);
  for_words(key, runs, [=](int64_t position, int64_t n, const uint32_t* words) {
    T* y = to + position;
    if (from == nullptr) {
#pragma omp simd
      for (int64_t i = 0; i < n; ++i) y[i] = words[i] > last_dropped ? kept : dropped;
      return;
    }
    const T* x = from + position;
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) {
      const T scaled =
          static_cast<T>(static_cast<Wide>(x[i]) * factor);  // outside the choice: no load under a condition
      y[i] = words[i] > last_dropped ? scaled : dropped;
    }
  });
}

at::Tensor apply_mask(const at::Tensor& x, double p, const RandomKey& key, const Shape& shape,
                      const Slice& slice) {
  if (x.is_meta()) return at::empty_like(x);
  if (!x.is_cpu()) return x * dropout_mask(p, key, shape, slice, x.scalar_type(), x.device()).view(x.sizes());
  const SliceRuns runs(shape, slice);
  const at::Tensor in = x.contiguous();
  at::Tensor out = at::empty_like(in);
  const uint64_t threshold = drop_threshold(p);
  if (threshold == 0) return out.copy_(in);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, x.scalar_type(), "dropout", [&] {
    apply_words(in.const_data_ptr<scalar_t>(), out.data_ptr<scalar_t>(), static_cast<uint32_t>(threshold - 1),
                keep_scale(p), key, runs);
  });
  return out;
}

struct Dropout : ag::Function<Dropout> {
  static at::Tensor forward(ag::AutogradContext* context, const at::Tensor& x, double p, const RandomKey& key,
                            const Shape& shape, const Slice& slice) {
    context->saved_data["p"] = p;
    context->saved_data["seed"] = static_cast<int64_t>(key.seed());
    context->saved_data["stream"] = static_cast<int64_t>(key.stream());
    context->saved_data["shape"] = shape;
    context->saved_data["offset"] = slice.offset;
    context->saved_data["size"] = slice.size;
    return apply_mask(x, p, key, shape, slice);
  }
  static ag::variable_list backward(ag::AutogradContext* context, const ag::variable_list& grads) {
    auto& saved = context->saved_data;
    const RandomKey key = RandomKey::from_stream(static_cast<uint64_t>(saved["seed"].toInt()),
                                                 static_cast<uint64_t>(saved["stream"].toInt()));
    const Slice slice{saved["offset"].toIntVector(), saved["size"].toIntVector()};
    return {apply_mask(grads[0], saved["p"].toDouble(), key, saved["shape"].toIntVector(), slice),
            {},
            {},
            {},
            {}};
  }
};

}  // namespace

at::Tensor dropout(const at::Tensor& x, double p, const RandomKey& key, const Shape& shape,
                   const Slice& slice) {
  drop_threshold(p);
  const SliceRuns runs(shape, slice);
  if (x.numel() != runs.numel()) {
    throw ShapeError(fmt::format("dropout: x of shape [{}] has {} elements, the slice [{}] has {}.",
                                 fmt::join(x.sizes(), ", "), x.numel(), fmt::join(slice.size, ", "),
                                 runs.numel()));
  }
  return p == 0 ? x : Dropout::apply(x, p, key, shape, slice);
}

at::Tensor dropout_mask(double p, const RandomKey& key, const Shape& shape, const Slice& slice,
                        at::ScalarType dtype, at::Device device) {
  const uint64_t threshold = drop_threshold(p);
  const SliceRuns runs(shape, slice);
  if (device.is_meta()) return at::empty(slice.size, at::device(device).dtype(dtype));
  if (!device.is_cpu()) {
    return words_on_device(key, shape, slice, device)
        .ge(static_cast<int64_t>(threshold))
        .to(dtype)
        .mul_(keep_scale(p));
  }
  at::Tensor mask = at::empty(slice.size, at::dtype(dtype));
  if (threshold == 0) return mask.fill_(1);
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dtype, "dropout_mask", [&] {
    apply_words<scalar_t>(nullptr, mask.data_ptr<scalar_t>(), static_cast<uint32_t>(threshold - 1),
                          keep_scale(p), key, runs);
  });
  return mask;
}

}  // namespace colossal::tensor
