// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/linear.h"

#include "colossal/base/error.h"
#include "colossal/parallel/tensor/mode.h"

namespace colossal::parallel {
namespace {

nn::LayerContext square_of(const comm::Mesh& mesh, at::ScalarType dtype) {
  if (!mesh.has("row") || !mesh.has("column") || mesh.axis_size("row") != mesh.axis_size("column")) {
    throw ShapeError(fmt::format(
        "Linear2D: the mesh \"{}\" is no square of ranks. Allowed: axes \"row\" and \"column\" of the same "
        "size, for example row 2 x column 2.",
        mesh.shape().describe()));
  }
  const Arrangement who = arrangement(TensorMode::two_d);
  return {.mesh = mesh,
          .compute = dtype,
          .parameters = dtype,
          .device = mesh.world().device(),
          .stream = who.stream,
          .inner = who.inner};
}

}  // namespace

TensorLinear::TensorLinear(const nn::LayerContext& context, const nn::LinearOptions& options,
                           const WeightAxes& axes)
    : activation_(options.activation) {
  check(options);
  const tensor::Shape shape = weight_shape(options);
  std::vector<comm::Axes> dims(shape.size());
  dims[options.split] = axes.out;
  dims.back() = axes.in;
  const tensor::Layout layout(shape, context.mesh.shape(), std::move(dims));
  const int64_t in = layout.local_shape().back(), out = layout.local_numel() / in;
  operands_.weight =
      add_parameter("weight", {out, in},
                    {.layout = layout, .init = nn::Init::normal(options.init_std), .sum_axes = axes.replicas},
                    context.parameter_options());
  if (options.bias) {
    const nn::Placement& placement = options.role == nn::Role::expand ? context.inner : context.stream;
    operands_.bias = add_parameter(
        "bias", {out}, context.along_hidden(options.out, options.split, placement, nn::Init::zeros(), false),
        context.parameter_options());
  }
}

at::Tensor TensorLinear::forward(const at::Tensor& x) { return multiply(x, activation_, {operands_})[0]; }

std::vector<at::Tensor> forward_together(const std::vector<std::shared_ptr<TensorLinear>>& layers,
                                         const at::Tensor& x) {
  std::vector<LinearOperands> operands;
  for (const auto& layer : layers) operands.push_back(layer->operands_);
  return layers.front()->multiply(x, layers.front()->activation_, operands);
}

PortedLinear::PortedLinear(const nn::LayerContext& context, const nn::LinearOptions& options,
                           const WeightAxes& axes, ProductPorts ports, Keep keep)
    : TensorLinear(context, options, axes), ports_(std::move(ports)), keep_(keep) {}

std::vector<at::Tensor> PortedLinear::multiply(const at::Tensor& x, nn::functional::Activation kind,
                                               const std::vector<LinearOperands>& operands) const {
  return ported_linears(x, kind, operands, ports_, keep_);
}

Linear2D::Linear2D(const nn::LayerContext& context, const nn::LinearOptions& options,
                   const comm::Axes& replicas)
    : TensorLinear(context, options, {{"column"}, {"row"}, replicas}),
      grid_{.along_row = context.mesh.group("column"), .along_column = context.mesh.group("row")} {}

Linear2D::Linear2D(const comm::Mesh& mesh, const nn::LinearOptions& options, at::ScalarType dtype)
    : Linear2D(square_of(mesh, dtype), options) {}

std::vector<at::Tensor> Linear2D::multiply(const at::Tensor& x, nn::functional::Activation kind,
                                           const std::vector<LinearOperands>& operands) const {
  return summa_linears(x, kind, operands, grid_);
}

}  // namespace colossal::parallel
