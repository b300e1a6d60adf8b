// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/reduce.h"

#include <bit>
#include <cstring>
#include <type_traits>

#include "colossal/base/error.h"

// One copy of each loop per instruction set, chosen when the program is loaded. Sanitizers cannot run that choice.
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define COLOSSAL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define COLOSSAL_CLONES
#endif
#define COLOSSAL_INLINE [[gnu::always_inline]] inline

namespace colossal::comm::arithmetic {
namespace {

// How an element is stored and what it is accumulated in.
template <class T>
struct Plain {
  using Stored = T;
  using Wide = T;
  static constexpr bool kWidens = false;
  COLOSSAL_INLINE static T load(T x) { return x; }
  COLOSSAL_INLINE static T store(T x) { return x; }
};

struct BFloat16 {
  using Stored = uint16_t;
  using Wide = float;
  static constexpr bool kWidens = true;
  COLOSSAL_INLINE static float load(uint16_t x) {
    return std::bit_cast<float>(static_cast<uint32_t>(x) << 16);
  }
  COLOSSAL_INLINE static uint16_t store(float x) {  // to nearest, ties to even
    const uint32_t bits = std::bit_cast<uint32_t>(x);
    const uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return static_cast<uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u : rounded);
  }
};

struct Half {
  using Stored = uint16_t;
  using Wide = float;
  static constexpr bool kWidens = true;
  COLOSSAL_INLINE static float load(uint16_t x) {
    const uint32_t magnitude = x & 0x7fffu;
    const uint32_t normal = (magnitude << 13) + 0x38000000u;   // exponent bias 15 to 127
    const uint32_t special = (magnitude << 13) | 0x7f800000u;  // infinity, NaN
    const uint32_t tiny =
        std::bit_cast<uint32_t>(static_cast<float>(static_cast<int32_t>(magnitude)) * 0x1p-24f);
    const uint32_t finite = magnitude < 0x400u ? tiny : normal;
    const uint32_t bits = magnitude >= 0x7c00u ? special : finite;
    return std::bit_cast<float>(bits | static_cast<uint32_t>(x & 0x8000u) << 16);
  }
  COLOSSAL_INLINE static uint16_t store(float x) {
    const uint32_t all = std::bit_cast<uint32_t>(x);
    const uint32_t sign = (all >> 16) & 0x8000u;
    const uint32_t bits = all & 0x7fffffffu;
    // Normal numbers: rebias, round to nearest even, the carry may run into the exponent (and on to infinity).
    const uint32_t normal = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
    // Subnormal ones: adding 0.5 lets the adder round at the last place of a half.
    const uint32_t tiny = std::bit_cast<uint32_t>(std::bit_cast<float>(bits) + 0.5f) - 0x3f000000u;
    const uint32_t finite = bits < 0x38800000u ? tiny : normal;
    const uint32_t bounded = bits >= 0x47800000u ? 0x7c00u : finite;
    return static_cast<uint16_t>(sign | (bits > 0x7f800000u ? 0x7e00u : bounded));
  }
};

struct Sum {
  template <class T>
  COLOSSAL_INLINE static T combine(T a, T b) {
    if constexpr (std::is_integral_v<T>) {
      using U = std::make_unsigned_t<T>;
      return static_cast<T>(static_cast<U>(static_cast<U>(a) + static_cast<U>(b)));
    } else {
      return a + b;
    }
  }
  template <class T>
  COLOSSAL_INLINE static T finish(T x, T) {
    return x;
  }
};
struct Avg : Sum {
  template <class T>
  COLOSSAL_INLINE static T finish(T x, T n) {
    return x / n;
  }
};
struct Max {
  template <class T>
  COLOSSAL_INLINE static T combine(T a, T b) {
    return ((a > b) | (a != a)) ? a : b;
  }
  template <class T>
  COLOSSAL_INLINE static T finish(T x, T) {
    return x;
  }
};
struct Min {
  template <class T>
  COLOSSAL_INLINE static T combine(T a, T b) {
    return ((a < b) | (a != a)) ? a : b;
  }
  template <class T>
  COLOSSAL_INLINE static T finish(T x, T) {
    return x;
  }
};

template <class E, class Op, int N>
COLOSSAL_INLINE void reduce_fixed(void* out, const void* const* sources, int64_t count) {
  using Stored = typename E::Stored;
  using Wide = typename E::Wide;
  auto* y = static_cast<Stored*>(out);
  const auto* a = static_cast<const Stored*>(sources[0]);
  const auto* b = static_cast<const Stored*>(sources[N > 1 ? 1 : 0]);
  const auto* c = static_cast<const Stored*>(sources[N > 2 ? 2 : 0]);
  const auto* d = static_cast<const Stored*>(sources[N > 3 ? 3 : 0]);
  // Each element is read before it is written, so `out` may be a source.
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    Wide x = E::load(a[i]);
    if constexpr (N > 1) {
      x = Op::combine(x, Wide(E::load(b[i])));
    }
    if constexpr (N > 2) {
      x = Op::combine(x, Wide(E::load(c[i])));
    }
    if constexpr (N > 3) {
      x = Op::combine(x, Wide(E::load(d[i])));
    }
    y[i] = E::store(Op::finish(x, static_cast<Wide>(N)));
  }
}

// Any number of sources: block by block, accumulated in a buffer that stays in the first cache.
template <class E, class Op>
COLOSSAL_INLINE void reduce_many(void* out, const void* const* sources, int n, int64_t count) {
  using Stored = typename E::Stored;
  using Wide = typename E::Wide;
  constexpr int64_t kBlock = 1024;
  Wide sum[kBlock];
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t length = std::min(kBlock, count - begin);
    const Stored* a = static_cast<const Stored*>(sources[0]) + begin;
    const Stored* b = static_cast<const Stored*>(sources[1]) + begin;
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) {
      sum[i] = Op::combine(Wide(E::load(a[i])), Wide(E::load(b[i])));
    }
    for (int k = 2; k < n; ++k) {
      const Stored* c = static_cast<const Stored*>(sources[k]) + begin;
#pragma omp simd
      for (int64_t i = 0; i < length; ++i) {
        sum[i] = Op::combine(sum[i], Wide(E::load(c[i])));
      }
    }
    Stored* y = static_cast<Stored*>(out) + begin;
#pragma omp simd
    for (int64_t i = 0; i < length; ++i) {
      y[i] = E::store(Op::finish(sum[i], static_cast<Wide>(n)));
    }
  }
}

template <class E, class Op>
COLOSSAL_INLINE void reduce_any(void* out, const void* const* sources, int n, int64_t count) {
  switch (n) {
    case 1: return reduce_fixed<E, Op, 1>(out, sources, count);
    case 2: return reduce_fixed<E, Op, 2>(out, sources, count);
    case 3: return reduce_fixed<E, Op, 3>(out, sources, count);
    case 4: return reduce_fixed<E, Op, 4>(out, sources, count);
    default: return reduce_many<E, Op>(out, sources, n, count);
  }
}

using Kernel = void (*)(void*, const void* const*, int, int64_t);

#define COLOSSAL_KERNEL(NAME, ELEMENT, OP)                                                        \
  COLOSSAL_CLONES void NAME##_##OP(void* out, const void* const* sources, int n, int64_t count) { \
    reduce_any<ELEMENT, OP>(out, sources, n, count);                                              \
  }
#define COLOSSAL_INTEGER_KERNELS(NAME, ELEMENT) \
  COLOSSAL_KERNEL(NAME, ELEMENT, Sum)           \
  COLOSSAL_KERNEL(NAME, ELEMENT, Max)           \
  COLOSSAL_KERNEL(NAME, ELEMENT, Min)
#define COLOSSAL_FLOAT_KERNELS(NAME, ELEMENT) \
  COLOSSAL_INTEGER_KERNELS(NAME, ELEMENT)     \
  COLOSSAL_KERNEL(NAME, ELEMENT, Avg)

COLOSSAL_FLOAT_KERNELS(f64, Plain<double>)
COLOSSAL_FLOAT_KERNELS(f32, Plain<float>)
COLOSSAL_FLOAT_KERNELS(f16, Half)
COLOSSAL_FLOAT_KERNELS(bf16, BFloat16)
COLOSSAL_INTEGER_KERNELS(i64, Plain<int64_t>)
COLOSSAL_INTEGER_KERNELS(i32, Plain<int32_t>)
COLOSSAL_INTEGER_KERNELS(i16, Plain<int16_t>)
COLOSSAL_INTEGER_KERNELS(i8, Plain<int8_t>)
COLOSSAL_INTEGER_KERNELS(u8, Plain<uint8_t>)

Kernel choose(ReduceOp op, Kernel sum, Kernel max, Kernel min, Kernel avg = nullptr) {
  switch (op) {
    case ReduceOp::sum: return sum;
    case ReduceOp::max: return max;
    case ReduceOp::min: return min;
    case ReduceOp::avg: return avg;
  }
  return nullptr;
}

Kernel find(at::ScalarType dtype, ReduceOp op) {
  switch (dtype) {
    case at::kDouble: return choose(op, f64_Sum, f64_Max, f64_Min, f64_Avg);
    case at::kFloat: return choose(op, f32_Sum, f32_Max, f32_Min, f32_Avg);
    case at::kHalf: return choose(op, f16_Sum, f16_Max, f16_Min, f16_Avg);
    case at::kBFloat16: return choose(op, bf16_Sum, bf16_Max, bf16_Min, bf16_Avg);
    case at::kLong: return choose(op, i64_Sum, i64_Max, i64_Min);
    case at::kInt: return choose(op, i32_Sum, i32_Max, i32_Min);
    case at::kShort: return choose(op, i16_Sum, i16_Max, i16_Min);
    case at::kChar: return choose(op, i8_Sum, i8_Max, i8_Min);
    case at::kByte: return choose(op, u8_Sum, u8_Max, u8_Min);
    case at::kBool: return choose(op, u8_Max, u8_Max, u8_Min);  // 0 or 1: or, or, and
    default: return nullptr;
  }
}

}  // namespace

void check_reducible(at::ScalarType dtype, ReduceOp op) {
  if (find(dtype, op) == nullptr) {
    throw CommError(
        fmt::format("reduction: no {} of {}. Allowed: sum, max, min of Double, Float, Half, BFloat16, "
                    "Long, Int, Short, Char, Byte and Bool; avg of the first four.",
                    op == ReduceOp::avg ? "avg" : "arithmetic", c10::toString(dtype)));
  }
}

void reduce_arrays(void* out, std::span<const void* const> sources, int64_t count, at::ScalarType dtype,
                   ReduceOp op) {
  const Kernel kernel = find(dtype, op);
  if (kernel == nullptr) {
    check_reducible(dtype, op);
  }
  kernel(out, sources.data(), static_cast<int>(sources.size()), count);
}

}  // namespace colossal::comm::arithmetic
