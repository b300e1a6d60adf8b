// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/norm.h"

#include <ATen/record_function.h>

#include "colossal/nn/functional/aten.h"
#include "colossal/nn/functional/norm_kernels.h"
#include "colossal/nn/functional/optional.h"
#include "colossal/nn/functional/sum_rows.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

template <class A>
const A* data_or_null(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<A>() : nullptr;
}

const std::optional<at::Tensor> kNone;

// Both norms, with and without the addition. Saves what was normalised, the weight and two numbers per row.
template <bool kCentered>
struct Norm : ag::Function<Norm<kCentered>> {
  static ag::variable_list forward(ag::AutogradContext* ctx, const at::Tensor& x_in,
                                   const std::optional<at::Tensor>& residual_in, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias_in, double eps) {
    RECORD_FUNCTION("colossal::norm", {});
    const bool adds = residual_in.has_value();
    const at::Tensor bias = bias_in.value_or(at::Tensor());
    const at::Tensor x = x_in.contiguous(), residual = adds ? residual_in->contiguous() : at::Tensor();
    const at::ScalarType wide = wide_type(x.scalar_type());
    const at::Tensor w = weight.to(wide).contiguous(),
                     b = bias.defined() ? bias.to(wide).contiguous() : at::Tensor();
    const int64_t rows = row_count(x);
    const at::Tensor y = at::empty_like(x), sum = adds ? at::empty_like(x) : at::Tensor();
    const at::Tensor rstd = at::empty({rows}, w.options()),
                     mean = kCentered ? at::empty({rows}, w.options()) : at::Tensor();
    with_type(x, [&](auto zero) {
      using T = decltype(zero);
      using A = simd::Wide<T>;
      const NormForwardArguments<T> a{x.const_data_ptr<T>(),
                                      data_or_null<T>(residual),
                                      adds ? sum.mutable_data_ptr<T>() : nullptr,
                                      y.mutable_data_ptr<T>(),
                                      w.const_data_ptr<A>(),
                                      data_or_null<A>(b),
                                      kCentered ? mean.mutable_data_ptr<A>() : nullptr,
                                      rstd.mutable_data_ptr<A>(),
                                      x.size(-1),
                                      static_cast<A>(eps)};
      at::parallel_for(0, rows, row_grain(x.size(-1)),
                       [&](int64_t begin, int64_t end) { simd::run<NormForward<kCentered>>(a, begin, end); });
    });
    ctx->save_for_backward({adds ? sum : x, weight, mean, rstd});
    ctx->saved_data["bias"] = bias.defined();
    if (bias.defined()) ctx->saved_data["bias_type"] = static_cast<int64_t>(bias.scalar_type());
    ctx->set_materialize_grads(false);
    return adds ? ag::variable_list{sum, y} : ag::variable_list{y};
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const bool adds = grads.size() == 2, has_bias = ctx->saved_data["bias"].toBool();
    const at::Tensor dsum = adds && grads[0].defined() ? grads[0].contiguous() : at::Tensor();
    if (!grads.back().defined())
      return {dsum, adds ? dsum : at::Tensor(), at::Tensor(), at::Tensor(), at::Tensor()};
    const at::Tensor dy = grads.back().contiguous(), w = weight.to(rstd.scalar_type()).contiguous();
    const int64_t rows = row_count(x), h = x.size(-1);
    const at::Tensor dx = at::empty_like(x), dweight = at::zeros({block_count(rows), h}, rstd.options());
    const at::Tensor dbias = has_bias ? at::zeros_like(dweight) : at::Tensor();
    with_type(x, [&](auto zero) {
      using T = decltype(zero);
      using A = simd::Wide<T>;
      const NormBackwardArguments<T> a{x.const_data_ptr<T>(),
                                       dy.const_data_ptr<T>(),
                                       data_or_null<T>(dsum),
                                       dx.mutable_data_ptr<T>(),
                                       w.const_data_ptr<A>(),
                                       data_or_null<A>(mean),
                                       rstd.const_data_ptr<A>(),
                                       dweight.mutable_data_ptr<A>(),
                                       has_bias ? dbias.mutable_data_ptr<A>() : nullptr,
                                       h,
                                       rows};
      at::parallel_for(0, block_count(rows), 1, [&](int64_t begin, int64_t end) {
        for (int64_t block = begin; block < end; ++block) simd::run<NormBackward<kCentered>>(a, block);
      });
    });
    const at::Tensor db =
        has_bias ? sum_rows(dbias, static_cast<at::ScalarType>(ctx->saved_data["bias_type"].toInt()))
                 : at::Tensor();
    return {dx, adds ? dx : at::Tensor(), sum_rows(dweight, weight.scalar_type()), db, at::Tensor()};
  }
};

void check(const char* where, const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
           const at::Tensor& bias) {
  const auto fits = [&](const at::Tensor& t) {
    return !t.defined() || (t.dim() == 1 && t.size(0) == x.size(-1));
  };
  if (x.dim() == 0 || !fits(weight) || !fits(bias)) {
    throw ShapeError(fmt::format("{}: weight and bias must be [h] for x [.., h]; x is {}, weight {}.", where,
                                 shape_text(x.sizes()), shape_text(weight.sizes())));
  }
  if (residual.defined() && (residual.sizes() != x.sizes() || residual.scalar_type() != x.scalar_type())) {
    throw ShapeError(fmt::format("{}: x is {} {}, residual {} {}. Both must have the same shape and dtype.",
                                 where, shape_text(x.sizes()), at::toString(x.scalar_type()),
                                 shape_text(residual.sizes()), at::toString(residual.scalar_type())));
  }
}

}  // namespace

at::Tensor layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, double eps) {
  check("layer_norm", x, {}, weight, bias);
  if (!has_kernel(x)) return aten::layer_norm(x, weight, bias, eps);
  return Norm<true>::apply(x, kNone, weight, given(bias), eps)[0];
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  check("rms_norm", x, {}, weight, {});
  if (!has_kernel(x)) return aten::rms_norm(x, weight, eps);
  return Norm<false>::apply(x, kNone, weight, kNone, eps)[0];
}

AddNorm add_layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                       const at::Tensor& bias, double eps) {
  check("add_layer_norm", x, residual, weight, bias);
  if (!has_kernel(x)) {
    const at::Tensor sum = x + residual;
    return {sum, aten::layer_norm(sum, weight, bias, eps)};
  }
  const auto both = Norm<true>::apply(x, given(residual), weight, given(bias), eps);
  return {both[0], both[1]};
}

AddNorm add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight, double eps) {
  check("add_rms_norm", x, residual, weight, {});
  if (!has_kernel(x)) {
    const at::Tensor sum = x + residual;
    return {sum, aten::rms_norm(sum, weight, eps)};
  }
  const auto both = Norm<false>::apply(x, given(residual), weight, kNone, eps);
  return {both[0], both[1]};
}

}  // namespace colossal::nn::functional
