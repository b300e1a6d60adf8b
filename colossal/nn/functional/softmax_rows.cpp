// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/softmax_rows.h"

#include "colossal/nn/functional/cross_entropy_kernels.h"

namespace colossal::nn::functional {
namespace {

struct ExponentialsOfRows {
  template <class A>
  COLOSSAL_INLINE static void run(A* logits, A* most, A* total, int64_t columns, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      A* row = logits + r * columns;
      most[r] = CrossEntropyRows::largest(row, columns);
      total[r] = CrossEntropyRows::exponentials(row, columns, most[r]);
    }
  }
};

struct ScaleRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const A* logits, const A* factors, T* out, int64_t columns, int64_t begin,
                                  int64_t end) {
    constexpr int64_t kLanes = simd::kLanes<T>;
    for (int64_t r = begin; r < end; ++r) {
      const A* from = logits + r * columns;
      T* to = out + r * columns;
      for (int64_t i = 0; i < columns; i += kLanes)
        simd::store_up_to(to + i, simd::load_up_to(from + i, columns - i) * factors[r], columns - i);
    }
  }
};

// out = exponentials * factors, row by row.
void scale_rows(const at::Tensor& out, const at::Tensor& exponentials, const at::Tensor& factors) {
  if (!has_kernel(exponentials) || !has_kernel(out)) {
    exponentials.mul_(factors.unsqueeze(1));
    if (!out.is_alias_of(exponentials)) out.copy_(exponentials);
    return;
  }
  const int64_t rows = exponentials.size(0), columns = exponentials.size(1);
  with_type(out, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    at::parallel_for(0, rows, row_grain(columns), [&](int64_t begin, int64_t end) {
      simd::run<ScaleRows>(exponentials.const_data_ptr<A>(), factors.const_data_ptr<A>(),
                           out.mutable_data_ptr<T>(), columns, begin, end);
    });
  });
}

}  // namespace

RowSums exponentials_(const at::Tensor& logits) {
  if (!has_kernel(logits)) {
    const at::Tensor most = logits.amax(1);
    logits.sub_(most.unsqueeze(1)).exp_();
    return {most, logits.sum(1)};
  }
  const int64_t rows = logits.size(0), columns = logits.size(1);
  RowSums own{at::empty({rows}, logits.options()), at::empty({rows}, logits.options())};
  with_type(logits, [&](auto zero) {
    using A = decltype(zero);
    if constexpr (!std::is_same_v<A, c10::BFloat16>) {
      at::parallel_for(0, rows, row_grain(columns), [&](int64_t begin, int64_t end) {
        simd::run<ExponentialsOfRows>(logits.mutable_data_ptr<A>(), own.most.mutable_data_ptr<A>(),
                                      own.total.mutable_data_ptr<A>(), columns, begin, end);
      });
    }
  });
  return own;
}

void softmax_gradient_into(const at::Tensor& out, const at::Tensor& exponentials, const RowTargets& targets,
                           double scale) {
  const at::Tensor at_label =
      exponentials.gather(1, targets.column).mul_(targets.factors.unsqueeze(1)).sub_(targets.mine, scale);
  scale_rows(out, exponentials, targets.factors);
  out.scatter_(1, targets.column, at_label.to(out.scalar_type()));
}

}  // namespace colossal::nn::functional
