// SPDX-License-Identifier: Apache-2.0
// Activations as value and derivative on vectors, and the kernels that run them over memory. Internal to
// nn/functional.
#pragma once
#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {

// x/2 (1 + tanh u) = x sigmoid(2 u), u = sqrt(2/pi) (x + 0.044715 x^3)
struct GeluTanh {
  template <class V>
  COLOSSAL_INLINE static V gate(const V& x) {
    return simd::sigmoid(x * 1.5957691216057308f * (1.0f + 0.044715f * x * x));
  }
  COLOSSAL_INLINE static simd::Double gate(const simd::Double& x) {
    return simd::sigmoid(x * 1.5957691216057307117 * (1.0 + 0.044715 * x * x));
  }
  template <class V>
  COLOSSAL_INLINE static V value(const V& x) {
    return x * gate(x);
  }
  COLOSSAL_INLINE static simd::Float derivative(const simd::Float& x) {
    const simd::Float s = gate(x);
    return s + x * s * (1.0f - s) * 1.5957691216057308f * (1.0f + 0.134145f * x * x);
  }
  COLOSSAL_INLINE static simd::Double derivative(const simd::Double& x) {
    const simd::Double s = gate(x);
    return s + x * s * (1.0 - s) * 1.5957691216057307117 * (1.0 + 0.134145 * x * x);
  }
};

struct GeluErf {
  template <class V>
  COLOSSAL_INLINE static V value(const V& x) {
    return x * simd::normal_cdf(x);
  }
  COLOSSAL_INLINE static simd::Float derivative(const simd::Float& x) {
    return simd::normal_cdf(x) + x * 0.3989422804014327f * simd::exp(x * x * -0.5f);
  }
  COLOSSAL_INLINE static simd::Double derivative(const simd::Double& x) {
    return simd::normal_cdf(x) + x * 0.39894228040143267794 * simd::exp(x * x * -0.5);
  }
};

struct Silu {
  template <class V>
  COLOSSAL_INLINE static V value(const V& x) {
    return x * simd::sigmoid(x);
  }
  template <class V>
  COLOSSAL_INLINE static V derivative(const V& x) {
    const V s = simd::sigmoid(x);
    return s * (1.0f + x * (1.0f - s));
  }
};

template <class Function>
struct UnaryForward {
  template <class T>
  COLOSSAL_INLINE static void run(const T* x, T* y, int64_t n) {
    for (int64_t i = 0; i < n; i += simd::kLanes<T>) {
      simd::prefetch(x + i);
      simd::store_up_to(y + i, Function::value(simd::load_up_to(x + i, n - i)), n - i);
    }
  }
};

template <class Function>
struct UnaryBackward {
  template <class T>
  COLOSSAL_INLINE static void run(const T* x, const T* dy, T* dx, int64_t n) {
    for (int64_t i = 0; i < n; i += simd::kLanes<T>) {
      simd::prefetch(x + i);
      simd::prefetch(dy + i);
      const auto d = simd::load_up_to(dy + i, n - i) * Function::derivative(simd::load_up_to(x + i, n - i));
      simd::store_up_to(dx + i, d, n - i);
    }
  }
};

// Rows of `gate` and `up` lie `stride` apart, those of y are dense.
struct SwigluForward {
  template <class T>
  COLOSSAL_INLINE static void run(const T* gate, const T* up, T* y, int64_t stride, int64_t f, int64_t begin,
                                  int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < f; i += simd::kLanes<T>) {
        simd::prefetch(gate + r * stride + i);
        simd::prefetch(up + r * stride + i);
        const auto g = simd::load_up_to(gate + r * stride + i, f - i),
                   u = simd::load_up_to(up + r * stride + i, f - i);
        simd::store_up_to(y + r * f + i, Silu::value(g) * u, f - i);
      }
    }
  }
};

struct SwigluBackward {
  template <class T>
  COLOSSAL_INLINE static void run(const T* gate, const T* up, const T* dy, T* dgate, T* dup, int64_t stride,
                                  int64_t f, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      for (int64_t i = 0; i < f; i += simd::kLanes<T>) {
        const int64_t at = r * stride + i;
        simd::prefetch(gate + at);
        simd::prefetch(up + at);
        simd::prefetch(dy + r * f + i);
        const auto g = simd::load_up_to(gate + at, f - i), u = simd::load_up_to(up + at, f - i);
        const auto d = simd::load_up_to(dy + r * f + i, f - i), s = simd::sigmoid(g);
        simd::store_up_to(dgate + at, d * u * s * (1.0f + g * (1.0f - s)), f - i);
        simd::store_up_to(dup + at, d * g * s, f - i);
      }
    }
  }
};

}  // namespace colossal::nn::functional
