// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/linear.h"

#include "colossal/base/error.h"
#include "colossal/comm/saved.h"
#include "colossal/nn/functional/optional.h"
#include "colossal/nn/functional/sum_rows.h"
#include "colossal/parallel/tensor/mode.h"
#include "colossal/parallel/tensor/summa.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/matmul.h"

namespace colossal::parallel {
namespace {

namespace ag = torch::autograd;
using nn::functional::Activation;
using nn::functional::activation;
using nn::functional::activation_backward;
using nn::functional::given;
using nn::functional::sum_rows;

at::Tensor matrix(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}).contiguous(); }

std::vector<int64_t> with_last(const at::Tensor& x, int64_t last) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = last;
  return sizes;
}

struct Plan {
  ProductPorts ports;
  Keep keep;
  Activation kind;
  at::ScalarType weight_type;
  std::optional<at::ScalarType> bias_type;
};

struct Ported : ag::Function<Ported> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, const Plan& plan) {
    const at::Tensor local = tensor::cached_cast(weight, x.scalar_type());
    Flight weights = plan.ports.weight.start_enter(local);
    const at::Tensor all = plan.ports.input.enter(activation(x, plan.kind));
    const at::Tensor w = weights.wait();
    const at::Tensor b = bias ? tensor::cached_cast(*bias, x.scalar_type()) : at::Tensor();
    const bool at_once = plan.ports.output.kind() == Port::Kind::none;  // a bias is added once, to the sum
    at::Tensor y = tensor::matmul_forward(matrix(all), w.contiguous(), at_once ? b : at::Tensor());
    y = plan.ports.output.leave(y.view(with_last(all, w.size(0))));
    if (b.defined() && !at_once) y.add_(b);
    const bool gathered = plan.keep == Keep::gathered && plan.kind == Activation::none;
    ctx->save_for_backward({x, weight, gathered ? all : at::Tensor(), gathered ? w : at::Tensor()});
    comm::save(*ctx, "plan", plan);
    return y;
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto kept = ctx->get_saved_variables();
    const at::Tensor &x = kept[0], &weight = kept[1];
    const Plan& plan = comm::saved<Plan>(*ctx, "plan");
    const bool wants_x = ctx->needs_input_grad(0), wants_w = ctx->needs_input_grad(1);
    Flight gradient = plan.ports.output.start_enter(grads[0]);
    Flight weights = kept[3].defined() ? Flight(kept[3])
                     : wants_x ? plan.ports.weight.start_enter(tensor::cached_cast(weight, x.scalar_type()))
                               : Flight(at::Tensor());
    Flight inputs = kept[2].defined() ? Flight(kept[2])
                    : wants_w         ? plan.ports.input.start_enter(activation(x, plan.kind))
                                      : Flight(at::Tensor());
    const at::Tensor dy = gradient.wait(), dy_rows = matrix(dy);
    at::Tensor dbias;
    if (plan.bias_type && ctx->needs_input_grad(2)) dbias = sum_rows(grads[0], *plan.bias_type);
    // What travels furthest goes first, beside the other product: the weight's gradient where the weight was gathered.
    const auto start_weight = [&] {
      if (!wants_w) return Flight(at::Tensor());
      return plan.ports.weight.start_leave(
          tensor::matmul_weight_grad(dy_rows, matrix(inputs.wait()), plan.weight_type));
    };
    const auto start_input = [&] {
      if (!wants_x) return Flight(at::Tensor());
      const at::Tensor w = weights.wait().contiguous();
      return plan.ports.input.start_leave(
          tensor::matmul_input_grad(dy_rows, w).view(with_last(dy, w.size(1))));
    };
    const bool weight_first = plan.ports.weight.kind() != Port::Kind::none;
    Flight first = weight_first ? start_weight() : start_input();
    Flight second = weight_first ? start_input() : start_weight();
    at::Tensor dx = (weight_first ? second : first).wait();
    if (wants_x) dx = activation_backward(x, dx, plan.kind);
    const at::Tensor dw = (weight_first ? first : second).wait();
    return {dx, dw, dbias, at::Tensor()};
  }
};

struct Summa : ag::Function<Summa> {
  static at::Tensor forward(ag::AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight,
                            const std::optional<at::Tensor>& bias, int64_t kind, const SummaGrid& grid) {
    const at::Tensor rows = matrix(activation(x, static_cast<Activation>(kind)));
    const at::Tensor w = tensor::cached_cast(weight, x.scalar_type()).contiguous();
    at::Tensor y = summa_forward(rows, w, grid);
    if (bias) y.add_(tensor::cached_cast(*bias, x.scalar_type()));
    ctx->save_for_backward({x, weight});
    ctx->saved_data["kind"] = kind;
    if (bias) ctx->saved_data["bias_type"] = static_cast<int64_t>(bias->scalar_type());
    comm::save(*ctx, "grid", grid);
    return y.view(with_last(x, w.size(0)));
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto kept = ctx->get_saved_variables();
    const at::Tensor &x = kept[0], &weight = kept[1], dy = matrix(grads[0]);
    const auto kind = static_cast<Activation>(ctx->saved_data["kind"].toInt());
    const auto& grid = comm::saved<SummaGrid>(*ctx, "grid");
    at::Tensor dx, dw, dbias;
    if (ctx->needs_input_grad(1))
      dw = summa_weight_grad(dy, matrix(activation(x, kind)), weight.scalar_type(), grid);
    if (ctx->needs_input_grad(0)) {
      const at::Tensor w = tensor::cached_cast(weight, x.scalar_type()).contiguous();
      dx = activation_backward(x, summa_input_grad(dy, w, grid).view(with_last(x, w.size(1))), kind);
    }
    if (ctx->saved_data.count("bias_type") != 0 && ctx->needs_input_grad(2))
      dbias = sum_rows(dy, static_cast<at::ScalarType>(ctx->saved_data["bias_type"].toInt()));
    return {dx, dw, dbias, at::Tensor(), at::Tensor()};
  }
};

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
  weight_ =
      add_parameter("weight", {out, in},
                    {.layout = layout, .init = nn::Init::normal(options.init_std), .sum_axes = axes.replicas},
                    context.parameter_options());
  if (options.bias) {
    const nn::Placement& placement = options.role == nn::Role::expand ? context.inner : context.stream;
    bias_ = add_parameter(
        "bias", {out}, context.along_hidden(options.out, options.split, placement, nn::Init::zeros(), false),
        context.parameter_options());
  }
}

at::Tensor ported_linear(const at::Tensor& x, Activation kind, const at::Tensor& weight,
                         const at::Tensor& bias, const ProductPorts& ports, Keep keep) {
  Plan plan{ports, keep, kind, weight.scalar_type(), std::nullopt};
  if (bias.defined()) plan.bias_type = bias.scalar_type();
  return Ported::apply(x, weight, given(bias), plan);
}

PortedLinear::PortedLinear(const nn::LayerContext& context, const nn::LinearOptions& options,
                           const WeightAxes& axes, ProductPorts ports, Keep keep)
    : TensorLinear(context, options, axes), ports_(std::move(ports)), keep_(keep) {}

at::Tensor PortedLinear::forward(const at::Tensor& x) {
  return ported_linear(x, activation_, weight_, bias_, ports_, keep_);
}

Linear2D::Linear2D(const nn::LayerContext& context, const nn::LinearOptions& options,
                   const comm::Axes& replicas)
    : TensorLinear(context, options, {{"column"}, {"row"}, replicas}),
      along_row_(context.mesh.group("column")),
      along_column_(context.mesh.group("row")) {}

Linear2D::Linear2D(const comm::Mesh& mesh, const nn::LinearOptions& options, at::ScalarType dtype)
    : Linear2D(square_of(mesh, dtype), options) {}

at::Tensor Linear2D::forward(const at::Tensor& x) {
  return Summa::apply(x, weight_, given(bias_), static_cast<int64_t>(activation_),
                      SummaGrid{along_row_, along_column_});
}

}  // namespace colossal::parallel
