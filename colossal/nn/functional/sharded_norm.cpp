// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/sharded_norm.h"

#include "colossal/comm/collectives.h"
#include "colossal/comm/saved.h"
#include "colossal/nn/functional/kernel.h"
#include "colossal/nn/functional/norm_stages.h"
#include "colossal/nn/functional/optional.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

struct ShardedNormPlan {
  bool centred = true;
  double eps = 0;
  comm::Group group = {};
  std::optional<at::ScalarType> bias_type = {};
  // Whole rows.
  double size(const at::Tensor& x) const { return static_cast<double>(x.size(-1) * group.size()); }
};

// With and without the residual sum before it, as Norm of norm.cpp.
struct ShardedNorm : ag::Function<ShardedNorm> {
  static ag::variable_list forward(ag::AutogradContext* ctx, const at::Tensor& x_in,
                                   const std::optional<at::Tensor>& residual, const at::Tensor& weight,
                                   const std::optional<at::Tensor>& bias, const ShardedNormPlan& plan) {
    const bool adds = residual.has_value();
    const at::Tensor term = x_in.contiguous(), x = adds ? at::empty_like(term) : term;
    const at::ScalarType wide = wide_type(x.scalar_type());
    at::Tensor mean,
        squares = first_statistic(
            {.x = x, .term = term, .residual = adds ? residual->contiguous() : at::Tensor()}, plan.centred);
    comm::all_reduce(squares, plan.group);
    if (plan.centred) {
      mean = squares.div_(plan.size(x));
      squares = centred_squares(x, mean);
      comm::all_reduce(squares, plan.group);
    }
    // In fp64 and rounded once: every element of the row carries the error of this one number.
    const at::Tensor rstd = (squares.to(at::kDouble) / plan.size(x) + plan.eps).rsqrt().to(wide);
    const at::Tensor y = normalised(x, weight.to(wide).contiguous(),
                                    bias ? bias->to(wide).contiguous() : at::Tensor(), mean, rstd);
    ctx->save_for_backward({x, weight, mean, rstd});
    ctx->set_materialize_grads(false);
    comm::save(*ctx, "plan", plan);
    return adds ? ag::variable_list{x, y} : ag::variable_list{y};
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto& plan = comm::saved<ShardedNormPlan>(*ctx, "plan");
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &rstd = saved[3];
    const bool adds = grads.size() == 2;
    const at::Tensor dsum = adds && grads[0].defined() ? grads[0].contiguous() : at::Tensor();
    const at::Tensor dy = grads.back().defined() ? grads.back().contiguous() : at::zeros_like(x);
    const NormGradient of{x, dy, weight.to(rstd.scalar_type()).contiguous(), mean, rstd};
    const auto [sums, dweight, dbias] = gradient_sums(of, plan.bias_type.has_value());
    comm::all_reduce(sums, plan.group);
    const at::Tensor dx = input_gradient(of, sums.div_(plan.size(x)), dsum);
    return {dx, adds ? dx : at::Tensor(), dweight.to(weight.scalar_type()),
            plan.bias_type ? dbias.to(*plan.bias_type) : at::Tensor(), at::Tensor()};
  }
};

AddNorm apply(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
              const at::Tensor& bias, ShardedNormPlan plan) {
  if (bias.defined()) plan.bias_type = bias.scalar_type();
  const auto both = ShardedNorm::apply(x, given(residual), weight, given(bias), plan);
  return {both.front(), both.back()};
}

}  // namespace

at::Tensor sharded_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                              double eps, const comm::Group& group) {
  return apply(x, {}, weight, bias, {.centred = true, .eps = eps, .group = group}).normed;
}

at::Tensor sharded_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                            const comm::Group& group) {
  return apply(x, {}, weight, {}, {.centred = false, .eps = eps, .group = group}).normed;
}

AddNorm sharded_add_layer_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                               const at::Tensor& bias, double eps, const comm::Group& group) {
  return apply(x, residual, weight, bias, {.centred = true, .eps = eps, .group = group});
}

AddNorm sharded_add_rms_norm(const at::Tensor& x, const at::Tensor& residual, const at::Tensor& weight,
                             double eps, const comm::Group& group) {
  return apply(x, residual, weight, {}, {.centred = false, .eps = eps, .group = group});
}

}  // namespace colossal::nn::functional
