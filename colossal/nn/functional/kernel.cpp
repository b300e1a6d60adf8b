// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/kernel.h"

namespace colossal::nn::functional {
namespace {

// out[columns] += sum over rows of x
struct AddRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const T* x, A* out, int64_t rows, int64_t columns) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    int64_t c = 0;
    for (; c + 4 * kLanes <= columns; c += 4 * kLanes) {
      auto s0 = simd::load(out + c), s1 = simd::load(out + c + kLanes);
      auto s2 = simd::load(out + c + 2 * kLanes), s3 = simd::load(out + c + 3 * kLanes);
      for (int64_t r = 0; r < rows; ++r) {
        const T* row = x + r * columns + c;
        s0 += simd::load(row);
        s1 += simd::load(row + kLanes);
        s2 += simd::load(row + 2 * kLanes);
        s3 += simd::load(row + 3 * kLanes);
      }
      simd::store(out + c, s0);
      simd::store(out + c + kLanes, s1);
      simd::store(out + c + 2 * kLanes, s2);
      simd::store(out + c + 3 * kLanes, s3);
    }
    for (; c < columns; ++c) {
      for (int64_t r = 0; r < rows; ++r) out[c] += static_cast<A>(x[r * columns + c]);
    }
  }
};

}  // namespace

at::Tensor sum_blocks(const at::Tensor& partials) {
  at::Tensor out = at::zeros({partials.size(1)}, partials.options());
  with_type(partials.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    if constexpr (!std::is_same_v<T, c10::BFloat16>) {
      simd::run<AddRows>(partials.const_data_ptr<T>(), out.mutable_data_ptr<T>(), partials.size(0),
                         partials.size(1));
    }
  });
  return out;
}

at::Tensor sum_rows(const at::Tensor& x) {
  const at::Tensor dense = x.contiguous();
  const int64_t columns = x.size(-1), rows = row_count(x), block = rows_per_block(rows);
  const at::Tensor partials =
      at::zeros({block_count(rows), columns}, x.options().dtype(wide_type(x.scalar_type())));
  with_type(x.scalar_type(), [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    const T* data = dense.const_data_ptr<T>();
    A* out = partials.mutable_data_ptr<A>();
    at::parallel_for(0, partials.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) {
        simd::run<AddRows>(data + b * block * columns, out + b * columns, std::min(block, rows - b * block),
                           columns);
      }
    });
  });
  return sum_blocks(partials);
}

}  // namespace colossal::nn::functional
