// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/gradient_norm.h"

#include <cmath>

#include "colossal/comm/collectives.h"
#include "colossal/optim/sharded_sums.h"
#include "colossal/tensor/meta.h"
#include "colossal/tensor/redistribute.h"

namespace colossal::optim {
namespace {

// The axes that shard any of the parameters, in mesh order.
tensor::Axes axes_that_shard(const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh) {
  tensor::Axes axes;
  for (const comm::Axis& axis : mesh.shape().axes()) {
    const bool used = std::any_of(parameters.begin(), parameters.end(), [&](const nn::Parameter& p) {
      const tensor::Axes sharded = p.layout().sharded_axes();
      return std::find(sharded.begin(), sharded.end(), axis.name) != sharded.end();
    });
    if (used && axis.size > 1) axes.push_back(axis.name);
  }
  return axes;
}

at::Device device_of(const std::vector<nn::Parameter>& parameters) {
  return parameters.empty() ? at::Device(at::kCPU) : parameters[0].tensor.device();
}

// Among the ranks along `axes`, the first of those that hold the same piece.
bool counts_here(const nn::Parameter& p, const tensor::Axes& axes, const comm::Mesh& mesh) {
  return std::all_of(axes.begin(), axes.end(), [&](const std::string& axis) {
    return mesh.coordinate(axis) == 0 || !p.layout().is_replicated_over(axis);
  });
}

// Undefined where there is none; without what a layout pads.
at::Tensor logical_gradient(const nn::Parameter& p, const comm::Mesh& mesh) {
  const at::Tensor& gradient = p.tensor.grad();
  if (!gradient.defined()) return gradient;
  return tensor::without_padding(gradient.contiguous(), p.layout(), mesh.rank());
}

std::string first_nonfinite(const std::vector<nn::Parameter>& parameters, const tensor::Axes& axes,
                            const comm::Mesh& mesh) {
  const auto none = static_cast<int64_t>(parameters.size());
  int64_t found = none;
  for (int64_t i = 0; i < none && found == none; ++i) {
    const at::Tensor gradient = logical_gradient(parameters[i], mesh);
    if (gradient.defined() && !gradient.isfinite().all().item<bool>()) found = i;
  }
  at::Tensor first = at::scalar_tensor(found, at::dtype(at::kLong).device(device_of(parameters)));
  if (!axes.empty()) comm::all_reduce(first, mesh.group(axes), comm::ReduceOp::min);
  found = first.item<int64_t>();
  return found == none ? "" : parameters[found].name;
}

}  // namespace

GradientNorm gradient_norm(const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh) {
  at::NoGradGuard no_grad;
  const tensor::Axes axes = axes_that_shard(parameters, mesh);
  std::vector<at::Tensor> gradients;
  for (const nn::Parameter& p : parameters) {
    const at::Tensor gradient = logical_gradient(p, mesh);
    if (gradient.defined() && counts_here(p, axes, mesh)) gradients.push_back(gradient);
  }
  const at::Tensor total = sum_of_squares(gradients).to(device_of(parameters));
  sum_over(total, axes, mesh);
  GradientNorm norm{.value = std::sqrt(tensor::number_in(total, 0))};
  if (!std::isfinite(norm.value)) norm.nonfinite = first_nonfinite(parameters, axes, mesh);
  return norm;
}

double clip_factor(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1;
}

}  // namespace colossal::optim
