// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/tile_matmul.h"

#include <algorithm>

#include "colossal/tensor/blas.h"

namespace colossal::tensor {
namespace {

template <class T>
auto blas() {
  if constexpr (std::is_same_v<T, float>) {
    return &sgemm_;
  } else if constexpr (std::is_same_v<T, double>) {
    return &dgemm_;
  } else {
    return &gemm_bf16bf16f32_;
  }
}

template <class T>
void plain_loops(const TileOperand<T>& a, const TileOperand<T>& b, const TileSizes& s, bool adds,
                 simd::Wide<T>* c, int64_t stride) {
  using A = simd::Wide<T>;
  const auto at = [](const TileOperand<T>& x, int64_t i, int64_t j) {
    return static_cast<A>(x.transposed ? x.data[j * x.stride + i] : x.data[i * x.stride + j]);
  };
  for (int64_t i = 0; i < s.m; ++i) {
    if (!adds) std::fill_n(c + i * stride, s.n, A{});
    for (int64_t l = 0; l < s.k; ++l)
      for (int64_t j = 0; j < s.n; ++j) c[i * stride + j] += at(a, i, l) * at(b, l, j);
  }
}

}  // namespace

template <class T>
void tile_matmul(const TileOperand<T>& a, const TileOperand<T>& b, const TileSizes& sizes,
                 Accumulate accumulate, simd::Wide<T>* c, int64_t stride) {
  const bool adds = accumulate == Accumulate::yes;
  const auto gemm = blas<T>();
  if (gemm == nullptr) return plain_loops(a, b, sizes, adds, c, stride);
  // Column-major libraries see every matrix transposed: c^T = op(b)^T op(a)^T.
  const int m = static_cast<int>(sizes.n), n = static_cast<int>(sizes.m), k = static_cast<int>(sizes.k);
  const int lda = static_cast<int>(b.stride), ldb = static_cast<int>(a.stride),
            ldc = static_cast<int>(stride);
  const simd::Wide<T> alpha = 1, beta = adds ? 1 : 0;
  gemm(b.transposed ? "T" : "N", a.transposed ? "T" : "N", &m, &n, &k, &alpha, b.data, &lda, a.data, &ldb,
       &beta, c, &ldc);
}

template void tile_matmul(const TileOperand<float>&, const TileOperand<float>&, const TileSizes&, Accumulate,
                          float*, int64_t);
template void tile_matmul(const TileOperand<double>&, const TileOperand<double>&, const TileSizes&,
                          Accumulate, double*, int64_t);
template void tile_matmul(const TileOperand<c10::BFloat16>&, const TileOperand<c10::BFloat16>&,
                          const TileSizes&, Accumulate, float*, int64_t);

}  // namespace colossal::tensor
