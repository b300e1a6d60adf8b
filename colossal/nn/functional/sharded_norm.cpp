// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/functional/sharded_norm.h"

#include <ATen/ops/stack.h>

#include "colossal/comm/collectives.h"
#include "colossal/comm/saved.h"
#include "colossal/nn/functional/kernel.h"
#include "colossal/nn/functional/optional.h"
#include "colossal/nn/functional/sum_rows.h"

namespace colossal::nn::functional {
namespace {

namespace ag = torch::autograd;

at::Tensor summed_last(const at::Tensor& x, const comm::Group& group) {
  at::Tensor sum = x.sum(-1, /*keepdim=*/true);
  comm::all_reduce(sum, group);
  return sum;
}

struct ShardedNorm : ag::Function<ShardedNorm> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, bool centred, double eps,
                            const comm::Group& group) {
    const at::ScalarType wide = wide_type(x.scalar_type());
    const auto size = static_cast<double>(x.size(-1) * group.size());
    at::Tensor difference = x.to(wide), mean;
    if (centred) {
      mean = summed_last(difference, group) / size;
      difference = difference - mean;
    }
    const at::Tensor variance = summed_last(difference * difference, group) / size;
    const at::Tensor scale = (variance.to(at::kDouble) + eps).rsqrt().to(wide);
    at::Tensor y = difference * scale * weight.to(wide);
    if (bias) y = y + bias->to(wide);
    ctx->save_for_backward({x, weight, mean, scale});
    comm::save(*ctx, "group", group);
    if (bias) ctx->saved_data["bias_type"] = static_cast<int64_t>(bias->scalar_type());
    return y.to(x.scalar_type());
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &mean = saved[2], &scale = saved[3];
    const auto& group = comm::saved<comm::Group>(*ctx, "group");
    const at::ScalarType wide = wide_type(x.scalar_type());
    const auto size = static_cast<double>(x.size(-1) * group.size());
    const at::Tensor dy = grads[0].to(wide);
    const at::Tensor normed = (mean.defined() ? x.to(wide) - mean : x.to(wide)) * scale;
    const at::Tensor g = dy * weight.to(wide), along = g * normed;
    at::Tensor dx;
    if (mean.defined()) {
      const at::Tensor both = at::stack({g.sum(-1, true), along.sum(-1, true)});
      comm::all_reduce(both, group);
      dx = (g - both[0] / size - normed * (both[1] / size)) * scale;
    } else {
      dx = (g - normed * (summed_last(along, group) / size)) * scale;
    }
    at::Tensor dbias;
    if (ctx->saved_data.count("bias_type") != 0)
      dbias = sum_rows(dy, static_cast<at::ScalarType>(ctx->saved_data["bias_type"].toInt()));
    return {dx.to(x.scalar_type()), sum_rows(dy * normed, weight.scalar_type()), dbias, {}, {}, {}};
  }
};

}  // namespace

at::Tensor sharded_layer_norm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                              double eps, const comm::Group& group) {
  return ShardedNorm::apply(x, weight, given(bias), true, eps, group);
}

at::Tensor sharded_rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps,
                            const comm::Group& group) {
  return ShardedNorm::apply(x, weight, given(at::Tensor()), false, eps, group);
}

}  // namespace colossal::nn::functional
