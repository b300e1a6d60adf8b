// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/block_matmul.h"

#include <ATen/Parallel.h>
#include <ATen/native/CPUBlas.h>

#include <algorithm>
#include <array>
#include <utility>

#include "colossal/tensor/simd.h"

namespace colossal::tensor {
namespace {

using simd::Uint16;
using simd::Uint32;

constexpr int64_t kPanel = 64;     // rows of w, or columns of dy, that are packed at a time
constexpr int64_t kDepth = 512;    // products summed per call
constexpr int64_t kColumns = 512;  // columns of dw per call
constexpr int kWords = 16;         // of a vector

// Operands are packed as words of four bytes: one float, or two bf16 that follow each other in the dimension that is summed over.
template <class T>
constexpr int64_t kPerWord = 4 / static_cast<int64_t>(sizeof(T));

// A matrix of words, row-major.
struct Words {
  const uint32_t* data;
  int64_t stride;
  COLOSSAL_INLINE uint32_t word(int64_t i, int64_t j) const { return data[i * stride + j]; }
  COLOSSAL_INLINE Uint32 words(int64_t i, int64_t j) const {
    Uint32 v;
    std::memcpy(&v, data + i * stride + j, sizeof(v));
    return v;
  }
};

// Two rows of bf16 each as one row of words; zeros behind an odd last one.
struct RowPairs {
  const uint16_t* data;
  int64_t stride;
  int64_t rows;  // of bf16
  COLOSSAL_INLINE uint32_t word(int64_t i, int64_t j) const {
    const uint32_t low = data[2 * i * stride + j];
    return 2 * i + 1 < rows ? low | uint32_t{data[(2 * i + 1) * stride + j]} << 16 : low;
  }
  COLOSSAL_INLINE Uint32 words(int64_t i, int64_t j) const {
    Uint16 low, high{};
    std::memcpy(&low, data + 2 * i * stride + j, sizeof(low));
    if (2 * i + 1 < rows) std::memcpy(&high, data + (2 * i + 1) * stride + j, sizeof(high));
    return __builtin_convertvector(low, Uint32) | __builtin_convertvector(high, Uint32) << 16;
  }
};

template <int S, int... Lane>
COLOSSAL_INLINE void exchange(Uint32& a, Uint32& b, std::integer_sequence<int, Lane...>) {
  constexpr int kLanes = sizeof...(Lane);
  const Uint32 first = __builtin_shufflevector(a, b, ((Lane & S) == 0 ? Lane : kLanes + Lane - S)...);
  b = __builtin_shufflevector(a, b, ((Lane & S) == 0 ? Lane + S : kLanes + Lane)...);
  a = first;
}

// Exchanges the off-diagonal quarters of all blocks of 2 S x 2 S.
template <int S>
COLOSSAL_INLINE void exchange_quarters(Uint32* v) {
  for (int i = 0; i < kWords; ++i)
    if ((i & S) == 0) exchange<S>(v[i], v[i + S], std::make_integer_sequence<int, kWords>());
}

// target[j][i] = source[i][j].
struct Transpose {
  template <class Source>
  COLOSSAL_INLINE static void run(Source source, int64_t rows, int64_t columns, uint32_t* target,
                                  int64_t stride) {
    for (int64_t j = 0; j < columns; j += kWords) {
      for (int64_t i = 0; i < rows; i += kWords) {
        if (i + kWords > rows || j + kWords > columns) {
          for (int64_t r = i; r < std::min(i + kWords, rows); ++r)
            for (int64_t c = j; c < std::min(j + kWords, columns); ++c)
              target[c * stride + r] = source.word(r, c);
          continue;
        }
        Uint32 v[kWords];
        for (int64_t r = 0; r < kWords; ++r) v[r] = source.words(i + r, j);
        exchange_quarters<1>(v);
        exchange_quarters<2>(v);
        exchange_quarters<4>(v);
        exchange_quarters<8>(v);
        for (int64_t c = 0; c < kWords; ++c) std::memcpy(target + (j + c) * stride + i, &v[c], sizeof(v[c]));
      }
    }
  }
};

struct Interleave {
  COLOSSAL_INLINE static void run(RowPairs source, int64_t begin, int64_t end, int64_t columns,
                                  uint32_t* target) {
    for (int64_t i = begin; i < end; ++i) {
      int64_t j = 0;
      for (; j + kWords <= columns; j += kWords) {
        const Uint32 v = source.words(i, j);
        std::memcpy(target + i * columns + j, &v, sizeof(v));
      }
      for (; j < columns; ++j) target[i * columns + j] = source.word(i, j);
    }
  }
};

template <class T>
const uint32_t* words_of(const T* p) {
  return reinterpret_cast<const uint32_t*>(p);
}

// What a thread packs a panel into.
at::Tensor words_for_panel(int64_t words) { return at::empty({words}, at::kInt); }

template <class T>
void block(int64_t m, int64_t n, int64_t k, const T* a, int64_t lda, const T* b, int64_t ldb, bool adds,
           float* c, int64_t ldc) {
  at::native::cpublas::brgemm(m, n, k, lda, ldb, ldc, adds, a, b, c, kPerWord<T> == 2);
}

template <class T>
void forward(const at::Tensor& y, const at::Tensor& x, const at::Tensor& w, const at::Tensor& bias) {
  const int64_t t = x.size(0), in = x.size(1), out = w.size(0), words = in / kPerWord<T>;
  const T *a = x.const_data_ptr<T>(), *weight = w.const_data_ptr<T>();
  const float* start = bias.defined() ? bias.const_data_ptr<float>() : nullptr;
  auto* c = y.mutable_data_ptr<float>();
  at::parallel_for(0, (out + kPanel - 1) / kPanel, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor buffer = words_for_panel(words * kPanel);
    auto* panel = reinterpret_cast<uint32_t*>(buffer.mutable_data_ptr<int32_t>());
    for (int64_t n = begin * kPanel; n < std::min(end * kPanel, out); n += kPanel) {
      const int64_t width = std::min(kPanel, out - n);
      simd::run<Transpose>(Words{words_of(weight + n * in), words}, width, words, panel, kPanel);
      for (int64_t i = 0; start != nullptr && i < t; ++i) std::copy_n(start + n, width, c + i * out + n);
      for (int64_t k = 0; k < in; k += kDepth) {
        block(t, width, std::min(kDepth, in - k), a + k, in,
              reinterpret_cast<const T*>(panel + k / kPerWord<T> * kPanel), kPanel, start != nullptr || k > 0,
              c + n, out);
      }
    }
    at::native::cpublas::brgemm_release(kPerWord<T> == 2);
  });
}

template <class T>
void weight_grad(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x, bool adds) {
  const int64_t t = x.size(0), in = x.size(1), out = dy.size(1);
  const int64_t pairs = (t + 1) / 2;
  at::Tensor packed;
  const T* b = x.const_data_ptr<T>();
  if constexpr (kPerWord<T> == 2) {
    packed = at::empty({2 * pairs, in}, x.options());
    auto* target = reinterpret_cast<uint32_t*>(packed.mutable_data_ptr<T>());
    const RowPairs rows{reinterpret_cast<const uint16_t*>(b), in, t};
    at::parallel_for(0, pairs, 16, [&](int64_t begin, int64_t end) {
      simd::run<Interleave>(rows, begin, end, in, target);
    });
    b = packed.const_data_ptr<T>();
  }
  const T* gradient = dy.const_data_ptr<T>();
  auto* c = dw.mutable_data_ptr<float>();
  at::parallel_for(0, (out + kPanel - 1) / kPanel, 1, [&](int64_t begin, int64_t end) {
    const at::Tensor buffer = words_for_panel(kPanel * kDepth / kPerWord<T>);
    auto* panel = reinterpret_cast<uint32_t*>(buffer.mutable_data_ptr<int32_t>());
    for (int64_t m = begin * kPanel; m < std::min(end * kPanel, out); m += kPanel) {
      const int64_t height = std::min(kPanel, out - m);
      for (int64_t k = 0; k < t; k += kDepth) {
        const int64_t depth = std::min(kDepth, t - k), words = (depth + kPerWord<T> - 1) / kPerWord<T>;
        const T* corner = gradient + k * out + m;
        if constexpr (kPerWord<T> == 2) {
          simd::run<Transpose>(RowPairs{reinterpret_cast<const uint16_t*>(corner), out, depth}, words, height,
                               panel, words);
        } else {
          simd::run<Transpose>(Words{words_of(corner), out}, words, height, panel, words);
        }
        for (int64_t n = 0; n < in; n += kColumns)
          block(height, std::min(kColumns, in - n), words * kPerWord<T>, reinterpret_cast<const T*>(panel),
                words * kPerWord<T>, b + k * in + n * kPerWord<T>, in, adds || k > 0, c + m * in + n, in);
      }
    }
    at::native::cpublas::brgemm_release(kPerWord<T> == 2);
  });
}

// dx [t, in] = dy [t, out] w [out, in]: both lie as the kernel wants them.
void input_grad(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w) {
  const int64_t t = dy.size(0), in = w.size(1), out = w.size(0);
  const auto *a = dy.const_data_ptr<float>(), *b = w.const_data_ptr<float>();
  auto* c = dx.mutable_data_ptr<float>();
  at::parallel_for(0, t, 1, [&](int64_t first, int64_t last) {
    for (int64_t n = 0; n < in; n += kColumns)
      for (int64_t k = 0; k < out; k += kDepth)
        for (int64_t m = first; m < last; m += kPanel)
          block(std::min(kPanel, last - m), std::min(kColumns, in - n), std::min(kDepth, out - k),
                a + m * out + k, out, b + k * in + n, in, k > 0, c + m * in + n, in);
    at::native::cpublas::brgemm_release(false);
  });
}

// brgemm refuses packed operands on processors that it has no kernels for.
bool multiplies_packed() {
  const std::array<c10::BFloat16, 32> zeros{};
  std::array<float, 16> sum{};
  try {
    at::native::cpublas::brgemm(1, 16, 2, 2, 16, 16, false, zeros.data(), zeros.data(), sum.data(), true);
  } catch (const std::exception&) {
    return false;
  }
  at::native::cpublas::brgemm_release(true);
  return true;
}

}  // namespace

bool has_block_matmul(at::ScalarType type) {
  static const bool has = simd::level() == simd::Level::v4 && multiplies_packed();
  return has && (type == at::kFloat || type == at::kBFloat16);
}

void block_matmul_forward(const at::Tensor& y, const at::Tensor& x, const at::Tensor& w,
                          const at::Tensor& bias) {
  x.scalar_type() == at::kFloat ? forward<float>(y, x, w, bias) : forward<c10::BFloat16>(y, x, w, bias);
}

void block_matmul_input_grad(const at::Tensor& dx, const at::Tensor& dy, const at::Tensor& w) {
  input_grad(dx, dy, w);
}

void block_matmul_weight_grad(const at::Tensor& dw, const at::Tensor& dy, const at::Tensor& x,
                              Accumulate accumulate) {
  const bool adds = accumulate == Accumulate::yes;
  x.scalar_type() == at::kFloat ? weight_grad<float>(dw, dy, x, adds)
                                : weight_grad<c10::BFloat16>(dw, dy, x, adds);
}

}  // namespace colossal::tensor
