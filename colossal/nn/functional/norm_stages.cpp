// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/norm_stages.h"

#include <ATen/ops/stack.h>
#include <ATen/record_function.h>

#include "colossal/nn/functional/norm_kernels.h"
#include "colossal/nn/functional/sum_rows.h"

namespace colossal::nn::functional {
namespace {

template <class T>
const T* read(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<T>() : nullptr;
}
template <class T>
T* written(const at::Tensor& t) {
  return t.defined() ? t.mutable_data_ptr<T>() : nullptr;
}

struct FirstStatistic {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const NormForwardArguments<T>& a, bool centred, A* out, int64_t begin,
                                  int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const T* x = a.x + r * a.h;
      if (a.residual != nullptr) {
        NormForward<true>::add(x, a.residual + r * a.h, a.sum + r * a.h, a.h);
        x = a.sum + r * a.h;
      }
      out[r] = centred ? NormForward<true>::total(x, a.h) : NormForward<true>::squares(x, A{0}, a.h);
    }
  }
};

struct CentredSquares {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const T* x, const A* mean, A* out, int64_t h, int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) out[r] = NormForward<true>::squares(x + r * h, mean[r], h);
  }
};

struct NormaliseRows {
  template <class T>
  COLOSSAL_INLINE static void run(const NormForwardArguments<T>& a, int64_t begin, int64_t end) {
    using A = simd::Wide<T>;
    for (int64_t r = begin; r < end; ++r) {
      NormForward<true>::normalise(a, a.x + r * a.h, a.y + r * a.h, a.mean == nullptr ? A{0} : a.mean[r],
                                   a.rstd[r]);
    }
  }
};

template <bool kCentered>
struct AddUpRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(NormBackwardArguments<T> a, A* sums, int64_t block) {
    const int64_t size = rows_per_block(a.rows), begin = block * size, end = std::min(a.rows, begin + size);
    a.dweight += block * a.h;
    if (a.dbias != nullptr) a.dbias += block * a.h;
    for (int64_t r = begin; r < end; ++r) {
      const auto [g, gn] = NormBackward<kCentered>::add_up(a, r);
      sums[r] = gn;
      if constexpr (kCentered) sums[a.rows + r] = g;
    }
  }
};

template <bool kCentered>
struct InputGradientRows {
  template <class T, class A>
  COLOSSAL_INLINE static void run(const NormBackwardArguments<T>& a, const A* averages, int64_t begin,
                                  int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      NormBackward<kCentered>::input_gradient(a, r, {kCentered ? averages[a.rows + r] : A{0}, averages[r]});
  }
};

at::Tensor column(const at::Tensor& statistic) { return statistic.unsqueeze(1); }
at::Tensor like_rows(const at::Tensor& x) {
  return at::empty({row_count(x)}, x.options().dtype(wide_type(x.scalar_type())));
}
// (x - mean) * rstd in the wide type, [rows, h].
at::Tensor wide_normed(const at::Tensor& x, const at::Tensor& mean, const at::Tensor& rstd) {
  const at::Tensor rows = x.reshape({-1, x.size(-1)}).to(rstd.scalar_type());
  return (mean.defined() ? rows - column(mean) : rows) * column(rstd);
}

template <class T>
NormBackwardArguments<T> arguments(const NormGradient& of) {
  using A = simd::Wide<T>;
  return {.x = read<T>(of.x),
          .dy = read<T>(of.dy),
          .dsum = nullptr,
          .dx = nullptr,
          .weight = read<A>(of.weight),
          .mean = read<A>(of.mean),
          .rstd = read<A>(of.rstd),
          .dweight = nullptr,
          .dbias = nullptr,
          .h = of.x.size(-1),
          .rows = row_count(of.x)};
}

}  // namespace

at::Tensor first_statistic(const NormRows& rows, bool centred) {
  RECORD_FUNCTION("colossal::norm", {});
  const bool adds = rows.residual.defined();
  const at::Tensor& x = rows.x;
  if (!has_kernel(x)) {
    if (adds) x.copy_(rows.term + rows.residual);
    const at::Tensor wide = x.reshape({-1, x.size(-1)}).to(wide_type(x.scalar_type()));
    return centred ? wide.sum(1) : wide.square().sum(1);
  }
  at::Tensor out = like_rows(x);
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    const NormForwardArguments<T> a{.x = read<T>(adds ? rows.term : x),
                                    .residual = read<T>(rows.residual),
                                    .sum = adds ? written<T>(x) : nullptr,
                                    .h = x.size(-1)};
    at::parallel_for(0, out.size(0), row_grain(a.h), [&](int64_t begin, int64_t end) {
      simd::run<FirstStatistic>(a, centred, out.mutable_data_ptr<simd::Wide<T>>(), begin, end);
    });
  });
  return out;
}

at::Tensor centred_squares(const at::Tensor& x, const at::Tensor& mean) {
  RECORD_FUNCTION("colossal::norm", {});
  if (!has_kernel(x))
    return (x.reshape({-1, x.size(-1)}).to(mean.scalar_type()) - column(mean)).square().sum(1);
  at::Tensor out = at::empty_like(mean);
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    at::parallel_for(0, out.size(0), row_grain(x.size(-1)), [&](int64_t begin, int64_t end) {
      simd::run<CentredSquares>(read<T>(x), read<A>(mean), out.mutable_data_ptr<A>(), x.size(-1), begin, end);
    });
  });
  return out;
}

at::Tensor normalised(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                      const at::Tensor& mean, const at::Tensor& rstd) {
  RECORD_FUNCTION("colossal::norm", {});
  if (!has_kernel(x)) {
    const at::Tensor scaled = wide_normed(x, mean, rstd) * weight;
    return (bias.defined() ? scaled + bias : scaled).to(x.scalar_type()).view(x.sizes());
  }
  at::Tensor y = at::empty_like(x);
  with_type(x, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    const NormForwardArguments<T> a{.x = read<T>(x),
                                    .y = y.mutable_data_ptr<T>(),
                                    .weight = read<A>(weight),
                                    .bias = read<A>(bias),
                                    .mean = written<A>(mean),
                                    .rstd = written<A>(rstd),
                                    .h = x.size(-1)};
    at::parallel_for(0, rstd.size(0), row_grain(a.h),
                     [&](int64_t begin, int64_t end) { simd::run<NormaliseRows>(a, begin, end); });
  });
  return y;
}

NormGradientSums gradient_sums(const NormGradient& of, bool with_bias) {
  RECORD_FUNCTION("colossal::norm", {});
  const bool centred = of.mean.defined();
  const at::ScalarType wide = of.rstd.scalar_type();
  if (!has_kernel(of.x)) {
    const at::Tensor n = wide_normed(of.x, of.mean, of.rstd), dy = of.dy.reshape(n.sizes()).to(wide),
                     g = dy * of.weight, gn = (g * n).sum(1);
    return {.sums = centred ? at::stack({gn, g.sum(1)}) : gn.unsqueeze(0),
            .dweight = sum_rows(dy * n, wide),
            .dbias = with_bias ? sum_rows(dy, wide) : at::Tensor()};
  }
  const int64_t rows = of.rstd.size(0), h = of.x.size(-1);
  const at::Tensor sums = at::empty({centred ? 2 : 1, rows}, of.rstd.options()),
                   dweight = at::zeros({block_count(rows), h}, of.rstd.options()),
                   dbias = with_bias ? at::zeros_like(dweight) : at::Tensor();
  with_type(of.x, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    auto a = arguments<T>(of);
    a.dweight = written<A>(dweight);
    a.dbias = written<A>(dbias);
    at::parallel_for(0, dweight.size(0), 1, [&](int64_t begin, int64_t end) {
      for (int64_t block = begin; block < end; ++block) {
        centred ? simd::run<AddUpRows<true>>(a, written<A>(sums), block)
                : simd::run<AddUpRows<false>>(a, written<A>(sums), block);
      }
    });
  });
  return {.sums = sums,
          .dweight = sum_rows(dweight, wide),
          .dbias = with_bias ? sum_rows(dbias, wide) : at::Tensor()};
}

at::Tensor input_gradient(const NormGradient& of, const at::Tensor& averages, const at::Tensor& dsum) {
  RECORD_FUNCTION("colossal::norm", {});
  const bool centred = of.mean.defined();
  if (!has_kernel(of.x)) {
    const at::Tensor n = wide_normed(of.x, of.mean, of.rstd),
                     g = of.dy.reshape(n.sizes()).to(n.scalar_type()) * of.weight,
                     pulled = g - n * column(averages[0]);
    const at::Tensor dx =
        ((centred ? pulled - column(averages[1]) : pulled) * column(of.rstd)).view(of.x.sizes());
    return (dsum.defined() ? dx + dsum : dx).to(of.x.scalar_type());
  }
  at::Tensor dx = at::empty_like(of.x);
  with_type(of.x, [&](auto zero) {
    using T = decltype(zero);
    using A = simd::Wide<T>;
    auto a = arguments<T>(of);
    a.dsum = read<T>(dsum);
    a.dx = written<T>(dx);
    at::parallel_for(0, a.rows, row_grain(a.h), [&](int64_t begin, int64_t end) {
      centred ? simd::run<InputGradientRows<true>>(a, read<A>(averages), begin, end)
              : simd::run<InputGradientRows<false>>(a, read<A>(averages), begin, end);
    });
  });
  return dx;
}

}  // namespace colossal::nn::functional
