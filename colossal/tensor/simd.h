// SPDX-License-Identifier: Apache-2.0
// Vector kernels for the CPU without intrinsics: fixed-width vectors (64 bytes) that the compiler lowers to
// what the processor has, and a dispatcher that compiles a kernel for x86-64-v4, v3 and the baseline and
// calls the best one.
//
//   struct Scale {
//     template <class T> COLOSSAL_INLINE static void run(const T* x, T* y, int64_t n) { .. simd::load(x) .. }
//   };
//   simd::run<Scale>(x, y, n);
//
// Arithmetic is the same on every processor: lane count, order of reductions and rounding are fixed (no
// contraction to FMA), so a result depends on neither the instruction set nor the number of threads. Kernels
// may call COLOSSAL_INLINE functions only; lambdas inside them would lose the target. Thread-safe: pure
// functions.
#pragma once
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <type_traits>

#define COLOSSAL_INLINE inline __attribute__((always_inline))
// Vectors wider than the baseline's registers never cross a real call, so their calling convention is of no
// interest.
#pragma GCC diagnostic ignored "-Wpsabi"

namespace colossal::tensor::simd {

using Float = float __attribute__((vector_size(64)));
using Double = double __attribute__((vector_size(64)));
using Int32 = int32_t __attribute__((vector_size(64)));
using Uint32 = uint32_t __attribute__((vector_size(64)));
using Uint16 = uint16_t __attribute__((vector_size(32)));

// The type that values of storage type T are computed in, and its vector.
template <class T>
using Wide = std::conditional_t<std::is_same_v<T, double>, double, float>;
template <class T>
using Vector = std::conditional_t<std::is_same_v<T, double>, Double, Float>;
template <class T>
inline constexpr int64_t kLanes = std::is_same_v<T, double> ? 8 : 16;

COLOSSAL_INLINE Float load(const float* p) {
  Float v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
COLOSSAL_INLINE Double load(const double* p) {
  Double v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}
COLOSSAL_INLINE Float load(const c10::BFloat16* p) {
  Uint16 half;
  std::memcpy(&half, p, sizeof(half));
  const Uint32 bits = __builtin_convertvector(half, Uint32) << 16;
  Float v;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
}
COLOSSAL_INLINE void store(float* p, const Float& v) { std::memcpy(p, &v, sizeof(v)); }
COLOSSAL_INLINE void store(double* p, const Double& v) { std::memcpy(p, &v, sizeof(v)); }
COLOSSAL_INLINE void store(c10::BFloat16* p, const Float& v) {  // round to nearest even; NaN stays NaN
  Uint32 bits;
  std::memcpy(&bits, &v, sizeof(bits));
  const Uint32 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Uint32 kept = (bits >> 16) | 0x40u;
  const Uint16 half = __builtin_convertvector((v == v) ? rounded : kept, Uint16);
  std::memcpy(p, &half, sizeof(half));
}

// The first n (< kLanes) elements; the other lanes are `fill`.
template <class T>
COLOSSAL_INLINE Vector<T> load_first(const T* p, int64_t n, float fill = 0) {
  T lanes[kLanes<T>];
  for (int64_t i = 0; i < kLanes<T>; ++i) lanes[i] = static_cast<T>(fill);
  std::memcpy(static_cast<void*>(lanes), p, static_cast<size_t>(n) * sizeof(T));
  return load(lanes);
}
template <class T>
COLOSSAL_INLINE void store_first(T* p, const Vector<T>& v, int64_t n) {
  T lanes[kLanes<T>];
  store(lanes, v);
  std::memcpy(static_cast<void*>(p), lanes, static_cast<size_t>(n) * sizeof(T));
}
// Whole or partial, whichever `left` elements allow.
template <class T>
COLOSSAL_INLINE Vector<T> load_up_to(const T* p, int64_t left, float fill = 0) {
  return left >= kLanes<T> ? load(p) : load_first(p, left, fill);
}
template <class T>
COLOSSAL_INLINE void store_up_to(T* p, const Vector<T>& v, int64_t left) {
  if (left >= kLanes<T>) {
    store(p, v);
  } else {
    store_first(p, v, left);
  }
}

// For loops with much arithmetic per element: asks for what comes 4 KiB later. Where the processor does not look that far ahead by
// itself (seen on virtual machines), an exponential over data from memory takes 0.5 instead of 1.5 ns.
template <class T>
COLOSSAL_INLINE void prefetch(const T* p) {
  __builtin_prefetch(reinterpret_cast<const char*>(p) + 4096);
}

COLOSSAL_INLINE Float max(const Float& a, const Float& b) { return a > b ? a : b; }
COLOSSAL_INLINE Double max(const Double& a, const Double& b) { return a > b ? a : b; }
template <class V>
COLOSSAL_INLINE auto horizontal_sum(const V& v) {
  constexpr int kCount = sizeof(v) / sizeof(v[0]);
  auto sum = v[0];
  for (int i = 1; i < kCount; ++i) sum += v[i];
  return sum;
}
template <class V>
COLOSSAL_INLINE auto horizontal_max(const V& v) {
  constexpr int kCount = sizeof(v) / sizeof(v[0]);
  auto best = v[0];
  for (int i = 1; i < kCount; ++i) best = v[i] > best ? v[i] : best;
  return best;
}

// e^x within 2 ulp: argument reduction by ln 2 in two parts, degree-6 polynomial. Underflows to 0, overflows
// to infinity.
COLOSSAL_INLINE Float exp(const Float& x) {
  const Float limited = x < -87.0f ? Float{} - 87.0f : (x > 88.0f ? Float{} + 88.0f : x);
  const Float magic = Float{} + 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Float n = (limited * 1.44269504088896341f + magic) - magic;
  const Float r = (limited - n * 0.693359375f) - n * -2.12194440e-4f;
  Float p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * (r * r) + r + 1.0f;
  const Int32 power = (__builtin_convertvector(n, Int32) + 127) << 23;
  Float scale;
  std::memcpy(&scale, &power, sizeof(scale));
  const Float y = p * scale;
  const Float bounded = x < -87.0f ? Float{} : (x > 88.0f ? Float{} + INFINITY : y);
  return x == x ? bounded : x;
}
COLOSSAL_INLINE Double exp(const Double& x) {
  Double y;
  for (int i = 0; i < 8; ++i) y[i] = std::exp(x[i]);
  return y;
}

COLOSSAL_INLINE Float sigmoid(const Float& x) { return 1.0f / (1.0f + exp(-x)); }
COLOSSAL_INLINE Double sigmoid(const Double& x) { return 1.0 / (1.0 + exp(-x)); }

// The standard normal distribution function. fp32: erfc by the rational Chebyshev fit of Press et al.
// (fractional error 1.2e-7).
COLOSSAL_INLINE Float normal_cdf(const Float& x) {
  const Float z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
  const Float t = 1.0f / (1.0f + 0.5f * z);
  Float p = t * 0.17087277f - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  const Float half_erfc = 0.5f * t * exp(p * t - z * z - 1.26551223f);
  return x < 0.0f ? half_erfc : 1.0f - half_erfc;
}
COLOSSAL_INLINE Double normal_cdf(const Double& x) {
  Double y;
  for (int i = 0; i < 8; ++i) y[i] = 0.5 * std::erfc(-x[i] * 0.70710678118654752440);
  return y;
}

enum class Level { baseline, v3, v4 };

inline Level level() {
#if defined(__x86_64__)
  static const Level best = __builtin_cpu_supports("x86-64-v4")   ? Level::v4
                            : __builtin_cpu_supports("x86-64-v3") ? Level::v3
                                                                  : Level::baseline;
  return best;
#else
  return Level::baseline;
#endif
}

#if defined(__x86_64__)
template <class Kernel, class... Args>
__attribute__((target("arch=x86-64-v4,prefer-vector-width=512"), noinline)) void run_v4(Args... args) {
  Kernel::run(args...);
}
template <class Kernel, class... Args>
__attribute__((target("arch=x86-64-v3"), noinline)) void run_v3(Args... args) {
  Kernel::run(args...);
}
#endif

// Kernel::run(args...) compiled for this processor. Arguments are passed by value.
template <class Kernel, class... Args>
void run(Args... args) {
#if defined(__x86_64__)
  if (level() == Level::v4) return run_v4<Kernel>(args...);
  if (level() == Level::v3) return run_v3<Kernel>(args...);
#endif
  Kernel::run(args...);
}

}  // namespace colossal::tensor::simd
