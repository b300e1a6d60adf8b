// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/sum_rows.h"

#include <ATen/record_function.h>

#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {
namespace {

constexpr int64_t kTileColumns = 2048;  // of a task: its sums stay in the first cache

// out[columns] += sum over rows of x, row by row; `stride` elements lie between rows.
struct AddRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const T* x, int64_t stride, A* out, int64_t rows, int64_t columns) {
    constexpr int64_t kTogether = 8;  // so many rows for one visit of the sums
    int64_t r = 0;
    for (; r + kTogether <= rows; r += kTogether) add<kTogether>(x + r * stride, stride, out, columns);
    for (; r < rows; ++r) add<1>(x + r * stride, stride, out, columns);
  }

  template <int64_t kRows, class T, class A>
  COLOSSAL_INLINE static void add(const T* x, int64_t stride, A* out, int64_t columns) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    int64_t c = 0;
    for (; c + kLanes <= columns; c += kLanes) {
      auto sum = simd::load(out + c);
      for (int64_t r = 0; r < kRows; ++r) sum += simd::load(x + r * stride + c);
      simd::store(out + c, sum);
    }
    for (; c < columns; ++c) {
      for (int64_t r = 0; r < kRows; ++r) out[c] += static_cast<A>(x[r * stride + c]);
    }
  }
};

}  // namespace

at::Tensor sum_rows(const at::Tensor& x, at::ScalarType result) {
  const at::ScalarType wide = wide_type(x.scalar_type());
  const int64_t columns = x.size(-1), rows = row_count(x), block = rows_per_block(rows);
  if (!has_kernel(x)) return x.reshape({rows, columns}).sum(0, false, wide).to(result);
  RECORD_FUNCTION("colossal::sum_rows", {});
  const at::Tensor dense = x.contiguous();
  const int64_t blocks = std::max<int64_t>(1, block_count(rows)),
                tiles = (columns + kTileColumns - 1) / kTileColumns;
  const at::Tensor partials = at::zeros({blocks, columns}, x.options().dtype(wide));
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    const T* data = dense.const_data_ptr<T>();
    A* out = partials.mutable_data_ptr<A>();
    at::parallel_for(0, blocks * tiles, row_grain(std::min(rows, block) * std::min(columns, kTileColumns)),
                     [&](int64_t begin, int64_t end) {
                       for (int64_t task = begin; task < end; ++task) {
                         const int64_t row = task / tiles * block, column = task % tiles * kTileColumns;
                         simd::run<AddRows>(
                             data + row * columns + column, columns, out + task / tiles * columns + column,
                             std::min(block, rows - row), std::min(kTileColumns, columns - column));
                       }
                     });
  });
  return blocks == 1 ? partials.view({columns}).to(result) : sum_rows(partials, result);
}

}  // namespace colossal::nn::functional
