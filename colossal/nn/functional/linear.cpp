// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/linear.h"

#include <ATen/record_function.h>

#include "colossal/nn/functional/aten.h"
#include "colossal/nn/functional/kernel.h"
#include "colossal/nn/functional/optional.h"
#include "colossal/nn/functional/sum_rows.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/matmul.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

at::Tensor matrix(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}).contiguous(); }

struct Linear : ag::Function<Linear> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& x_in, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, int64_t kind) {
    const at::Tensor x = matrix(x_in);
    const at::Tensor rows = activation(x, static_cast<Activation>(kind));
    RECORD_FUNCTION("colossal::linear", {});
    const at::Tensor w = tensor::cached_cast(weight, x.scalar_type()).contiguous();
    const at::Tensor b = bias ? tensor::cached_cast(*bias, x.scalar_type()) : at::Tensor();
    std::vector<int64_t> shape = x_in.sizes().vec();
    shape.back() = weight.size(0);
    const bool want_x = weight.requires_grad() || static_cast<Activation>(kind) != Activation::none;
    ctx->save_for_backward({want_x ? x : at::Tensor(), weight});
    ctx->saved_data["kind"] = kind;
    ctx->saved_data["shape"] = x_in.sizes().vec();
    if (bias) ctx->saved_data["bias_type"] = static_cast<int64_t>(bias->scalar_type());
    return tensor::matmul_forward(rows, w, b).view(shape);
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const auto kind = static_cast<Activation>(ctx->saved_data["kind"].toInt());
    const at::Tensor &x = saved[0], &weight = saved[1], dy = matrix(grads[0]);
    at::Tensor dx, dw, db;
    if (ctx->needs_input_grad(1))
      dw = tensor::matmul_weight_grad(dy, activation(x, kind), weight.scalar_type());
    if (ctx->needs_input_grad(0)) {
      const at::Tensor w = tensor::cached_cast(weight, dy.scalar_type()).contiguous();
      dx = activation_backward(x, tensor::matmul_input_grad(dy, w), kind)
               .view(ctx->saved_data["shape"].toIntVector());
    }
    if (ctx->saved_data.count("bias_type") != 0 && ctx->needs_input_grad(2)) {
      db = sum_rows(dy, static_cast<at::ScalarType>(ctx->saved_data["bias_type"].toInt()));
    }
    return {dx, dw, db, at::Tensor()};
  }
};

}  // namespace

at::Tensor linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return activated_linear(x, Activation::none, weight, bias);
}

at::Tensor activated_linear(const at::Tensor& x, Activation kind, const at::Tensor& weight,
                            const at::Tensor& bias) {
  const int64_t inputs = kind == Activation::swiglu ? 2 : 1;
  const bool fits = x.dim() > 0 && weight.dim() == 2 && x.size(-1) == inputs * weight.size(1) &&
                    (!bias.defined() || (bias.dim() == 1 && bias.size(0) == weight.size(0)));
  if (!fits) {
    throw ShapeError(fmt::format(
        "linear: x is {}, weight {}, bias {}. Allowed: x [.., {}in], weight [out, in], bias [out].",
        shape_text(x.sizes()), shape_text(weight.sizes()), bias.defined() ? shape_text(bias.sizes()) : "none",
        inputs == 2 ? "2 " : ""));
  }
  if (has_kernel(x)) return Linear::apply(x, weight, given(bias), static_cast<int64_t>(kind));
  return aten::linear(activation(x, kind), weight, bias);
}

}  // namespace colossal::nn::functional
