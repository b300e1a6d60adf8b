// SPDX-License-Identifier: Apache-2.0
// Kernels of norm.cpp over the rows [begin, end) of dense [rows, h] tensors. T: storage, A: its wide type.
// Internal to nn/functional.
#pragma once
#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {

template <class T>
struct NormForwardArguments {
  using A = simd::Wide<T>;
  const T* x = nullptr;
  const T* residual = nullptr;  // null: none
  T* sum = nullptr;             // x + residual, where there is a residual
  T* y = nullptr;
  const A* weight = nullptr;
  const A* bias = nullptr;  // null: none
  A* mean = nullptr;        // centred norms only
  A* rstd = nullptr;
  int64_t h = 0;
  A eps = 0;
};

// kCentered: layer norm, else RMS norm.
template <bool kCentered>
struct NormForward {
  template <class T>
  COLOSSAL_INLINE static void run(NormForwardArguments<T> a, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) row(a, r);
  }

  // sum = x + residual, rounded to T: what is normalised is what is stored.
  template <class T>
  COLOSSAL_INLINE static void add(const T* x, const T* residual, T* sum, int64_t h) {
    using A = simd::Wide<T>;
    int64_t i = 0;
    for (; i + simd::kLanes<T> <= h; i += simd::kLanes<T>)
      simd::store(sum + i, simd::load(x + i) + simd::load(residual + i));
    for (; i < h; ++i) sum[i] = static_cast<T>(static_cast<A>(x[i]) + static_cast<A>(residual[i]));
  }

  template <class T>
  COLOSSAL_INLINE static simd::Wide<T> total(const T* x, int64_t h) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    const int64_t whole = h / kLanes * kLanes;
    simd::Vector<T> sums{};
    for (int64_t i = 0; i < whole; i += kLanes) sums += simd::load(x + i);
    auto sum = simd::horizontal_sum(sums);
    for (int64_t i = whole; i < h; ++i) sum += static_cast<simd::Wide<T>>(x[i]);
    return sum;
  }

  template <class T, class A>
  COLOSSAL_INLINE static A squares(const T* x, A mean, int64_t h) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    const int64_t whole = h / kLanes * kLanes;
    simd::Vector<T> sums{};
    for (int64_t i = 0; i < whole; i += kLanes) {
      const auto d = simd::load(x + i) - mean;
      sums += d * d;
    }
    A sum = simd::horizontal_sum(sums);
    for (int64_t i = whole; i < h; ++i) sum += (static_cast<A>(x[i]) - mean) * (static_cast<A>(x[i]) - mean);
    return sum;
  }

  template <class T, class A>
  COLOSSAL_INLINE static void normalise(const NormForwardArguments<T>& a, const T* x, T* y, A mean, A rstd) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    const int64_t whole = a.h / kLanes * kLanes;
    for (int64_t i = 0; i < whole; i += kLanes) {
      auto v = (simd::load(x + i) - mean) * rstd * simd::load(a.weight + i);
      if (a.bias != nullptr) v += simd::load(a.bias + i);
      simd::store(y + i, v);
    }
    for (int64_t i = whole; i < a.h; ++i) {
      const A v = (static_cast<A>(x[i]) - mean) * rstd * a.weight[i];
      y[i] = static_cast<T>(a.bias != nullptr ? v + a.bias[i] : v);
    }
  }

  template <class T>
  COLOSSAL_INLINE static void row(const NormForwardArguments<T>& a, int64_t r) {
    using A = simd::Wide<T>;
    const int64_t h = a.h;
    const T* x = a.x + r * h;
    if (a.residual != nullptr) {
      add(x, a.residual + r * h, a.sum + r * h, h);
      x = a.sum + r * h;
    }
    A mean = 0;
    if constexpr (kCentered) a.mean[r] = mean = total(x, h) / static_cast<A>(h);
    const A square = squares(x, mean, h);
    // In fp64 and rounded once: every element of the row carries the error of this one number.
    const A rstd = static_cast<A>(
        1.0 / std::sqrt(static_cast<double>(square) / static_cast<double>(h) + static_cast<double>(a.eps)));
    a.rstd[r] = rstd;
    normalise(a, x, a.y + r * h, mean, rstd);
  }
};

template <class T>
struct NormBackwardArguments {
  using A = simd::Wide<T>;
  const T* x = nullptr;  // what was normalised
  const T* dy = nullptr;
  const T* dsum = nullptr;  // gradient that reaches the sum past the norm; null: none
  T* dx = nullptr;
  const A* weight = nullptr;
  const A* mean = nullptr;  // centred norms only
  const A* rstd = nullptr;
  A* dweight = nullptr;  // [blocks, h], zero on entry
  A* dbias = nullptr;    // null: none
  int64_t h = 0;
  int64_t rows = 0;
};

// Block b covers the rows [b, b + 1) * rows_per_block(rows).
template <bool kCentered>
struct NormBackward {
  template <class T>
  COLOSSAL_INLINE static void run(NormBackwardArguments<T> a, int64_t block) {
    const int64_t size = rows_per_block(a.rows), begin = block * size, end = std::min(a.rows, begin + size);
    a.dweight += block * a.h;
    if (a.dbias != nullptr) a.dbias += block * a.h;
    for (int64_t r = begin; r < end; ++r) row(a, r);
  }

  // With g = dy * weight and n = (x - mean) * rstd: dx = rstd * (g - average(g) - n * average(g n)); no average(g) for RMS norm.
  template <class T>
  COLOSSAL_INLINE static void row(const NormBackwardArguments<T>& a, int64_t r) {
    using A = simd::Wide<T>;
    const Sums<A> sums = add_up(a, r);
    input_gradient(a, r, {sums.g / static_cast<A>(a.h), sums.gn / static_cast<A>(a.h)});
  }

  template <class A>
  struct Sums {
    A g, gn;
  };

  // Also adds to the gradients of weight and bias.
  template <class T>
  COLOSSAL_INLINE static Sums<simd::Wide<T>> add_up(const NormBackwardArguments<T>& a, int64_t r) {
    using A = simd::Wide<T>;
    constexpr int64_t kLanes = simd::kLanes<T>;
    const int64_t h = a.h, whole = h / kLanes * kLanes;
    const T* x = a.x + r * h;
    const T* dy = a.dy + r * h;
    const A rstd = a.rstd[r], mean = kCentered ? a.mean[r] : A{0};
    simd::Vector<T> sum_g{}, sum_gn{};
    for (int64_t i = 0; i < whole; i += kLanes) {
      const auto d = simd::load(dy + i), n = (simd::load(x + i) - mean) * rstd,
                 g = d * simd::load(a.weight + i);
      if constexpr (kCentered) sum_g += g;
      sum_gn += g * n;
      simd::store(a.dweight + i, simd::load(a.dweight + i) + d * n);
      if (a.dbias != nullptr) simd::store(a.dbias + i, simd::load(a.dbias + i) + d);
    }
    Sums<A> sums = {simd::horizontal_sum(sum_g), simd::horizontal_sum(sum_gn)};
    for (int64_t i = whole; i < h; ++i) {
      const A d = static_cast<A>(dy[i]), n = (static_cast<A>(x[i]) - mean) * rstd, g = d * a.weight[i];
      if constexpr (kCentered) sums.g += g;
      sums.gn += g * n;
      a.dweight[i] += d * n;
      if (a.dbias != nullptr) a.dbias[i] += d;
    }
    return sums;
  }

  template <class T>
  COLOSSAL_INLINE static void input_gradient(const NormBackwardArguments<T>& a, int64_t r,
                                             const Sums<simd::Wide<T>>& average) {
    using A = simd::Wide<T>;
    constexpr int64_t kLanes = simd::kLanes<T>;
    const int64_t h = a.h, whole = h / kLanes * kLanes;
    const T* x = a.x + r * h;
    const T* dy = a.dy + r * h;
    const T* dsum = a.dsum == nullptr ? nullptr : a.dsum + r * h;
    T* dx = a.dx + r * h;
    const A rstd = a.rstd[r], mean = kCentered ? a.mean[r] : A{0};
    for (int64_t i = 0; i < whole; i += kLanes) {
      const auto n = (simd::load(x + i) - mean) * rstd, g = simd::load(dy + i) * simd::load(a.weight + i);
      auto v = (g - average.g - n * average.gn) * rstd;
      if (dsum != nullptr) v += simd::load(dsum + i);
      simd::store(dx + i, v);
    }
    for (int64_t i = whole; i < h; ++i) {
      const A n = (static_cast<A>(x[i]) - mean) * rstd, g = static_cast<A>(dy[i]) * a.weight[i];
      const A v = (g - average.g - n * average.gn) * rstd;
      dx[i] = static_cast<T>(dsum != nullptr ? v + static_cast<A>(dsum[i]) : v);
    }
  }
};

}  // namespace colossal::nn::functional
