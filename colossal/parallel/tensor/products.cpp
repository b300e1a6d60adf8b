// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/products.h"

#include "colossal/comm/saved.h"
#include "colossal/nn/functional/sum_rows.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/matmul.h"

namespace colossal::parallel {
namespace {

namespace ag = torch::autograd;
using nn::functional::Activation;
using nn::functional::activation;
using nn::functional::activation_backward;
using nn::functional::sum_rows;
using Tensors = std::vector<at::Tensor>;

at::Tensor matrix(const at::Tensor& x) { return x.reshape({-1, x.size(-1)}).contiguous(); }

at::Tensor with_last(const at::Tensor& rows, const at::Tensor& like) {
  std::vector<int64_t> sizes = like.sizes().vec();
  sizes.back() = rows.size(-1);
  return rows.view(sizes);
}

// What both functions know of the operands in backward. Autograd sees them as one list: the weights, then the biases that there are.
struct Operands {
  Activation kind = Activation::none;
  size_t num_weights = 0;
  std::vector<std::optional<at::ScalarType>> bias_types = {};  // by weight; nullopt: no bias

  Operands(Activation activation, const std::vector<LinearOperands>& operands)
      : kind(activation), num_weights(operands.size()) {
    for (const auto& [weight, bias] : operands)
      bias_types.push_back(bias.defined() ? std::optional(bias.scalar_type()) : std::nullopt);
  }
  static Tensors list(const std::vector<LinearOperands>& operands) {
    Tensors all;
    for (const LinearOperands& each : operands) all.push_back(each.weight);
    for (const LinearOperands& each : operands) {
      if (each.bias.defined()) all.push_back(each.bias);
    }
    return all;
  }
  // In the dtype of the activations; undefined: none.
  Tensors biases(at::TensorList list, at::ScalarType type) const {
    Tensors all;
    size_t next = num_weights;
    for (const auto& bias_type : bias_types)
      all.push_back(bias_type ? tensor::cached_cast(list[next++], type) : at::Tensor());
    return all;
  }
  bool wants_weights(ag::AutogradContext& context) const {
    for (size_t i = 0; i < num_weights; ++i) {
      if (context.needs_input_grad(1 + i)) return true;
    }
    return false;
  }
  // The gradients of x, the weights, the biases, and of the options that follow them.
  ag::variable_list gradients(ag::AutogradContext& context, const at::Tensor& dx, const Tensors& dweights,
                              const ag::variable_list& dy) const {
    ag::variable_list all = {dx};
    all.insert(all.end(), dweights.begin(), dweights.end());
    for (size_t i = 0; i < num_weights; ++i) {
      if (!bias_types[i]) continue;
      const bool wanted = context.needs_input_grad(all.size());
      all.push_back(wanted ? sum_rows(dy[i], *bias_types[i]) : at::Tensor());
    }
    all.resize(all.size() + 1);
    return all;
  }
};

struct PortedPlan : Operands {
  ProductPorts ports = {};
  Keep keep = Keep::shards;
};

struct Ported : ag::Function<Ported> {
  static ag::variable_list forward(ag::AutogradContext* ctx, const at::Tensor& x, at::TensorList list,
                                   const PortedPlan& plan) {
    const size_t n = plan.num_weights;
    std::vector<Flight> arriving, leaving;
    for (size_t i = 0; i < n; ++i)
      arriving.push_back(plan.ports.weight.start_enter(tensor::cached_cast(list[i], x.scalar_type())));
    const at::Tensor all = plan.ports.input.enter(activation(x, plan.kind)), rows = matrix(all);
    const Tensors biases = plan.biases(list, x.scalar_type());
    const bool at_once = plan.ports.output.kind() == Port::Kind::none;  // a bias is added once, to the sum
    Tensors weights, results;
    for (size_t i = 0; i < n; ++i) {
      weights.push_back(arriving[i].wait().contiguous());
      const at::Tensor y = tensor::matmul_forward(rows, weights[i], at_once ? biases[i] : at::Tensor());
      leaving.push_back(plan.ports.output.start_leave(with_last(y, all)));
    }
    for (size_t i = 0; i < n; ++i) {
      results.push_back(leaving[i].wait());
      if (biases[i].defined() && !at_once) results[i].add_(biases[i]);
    }
    const bool gathered = plan.keep == Keep::gathered && plan.kind == Activation::none;
    ag::variable_list kept = {x, gathered ? all : at::Tensor()};
    kept.insert(kept.end(), list.begin(), list.begin() + static_cast<int64_t>(n));
    for (const at::Tensor& weight : weights) kept.push_back(gathered ? weight : at::Tensor());
    ctx->save_for_backward(std::move(kept));
    comm::save(*ctx, "plan", plan);
    return results;
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto& plan = comm::saved<PortedPlan>(*ctx, "plan");
    const size_t n = plan.num_weights;
    const auto kept = ctx->get_saved_variables();
    const at::Tensor &x = kept[0], &all = kept[1];
    const bool wants_x = ctx->needs_input_grad(0), wants_weights = plan.wants_weights(*ctx);
    std::vector<Flight> gradients, weights;
    for (size_t i = 0; i < n; ++i) gradients.push_back(plan.ports.output.start_enter(grads[i]));
    for (size_t i = 0; wants_x && i < n; ++i) {
      const at::Tensor &shard = kept[2 + i], &whole = kept[2 + n + i];
      weights.push_back(whole.defined()
                            ? Flight(whole)
                            : plan.ports.weight.start_enter(tensor::cached_cast(shard, x.scalar_type())));
    }
    Flight input = all.defined()   ? Flight(all)
                   : wants_weights ? plan.ports.input.start_enter(activation(x, plan.kind))
                                   : Flight(at::Tensor());
    Tensors dy;
    for (Flight& gradient : gradients) dy.push_back(gradient.wait());
    std::vector<Flight> dweights;
    const auto start_weights = [&] {
      const at::Tensor rows = wants_weights ? matrix(input.wait()) : at::Tensor();
      for (size_t i = 0; i < n; ++i) {
        dweights.push_back(ctx->needs_input_grad(1 + i)
                               ? plan.ports.weight.start_leave(tensor::matmul_weight_grad(
                                     matrix(dy[i]), rows, kept[2 + i].scalar_type()))
                               : Flight(at::Tensor()));
      }
    };
    const auto start_input = [&] {
      at::Tensor dx;
      for (size_t i = 0; wants_x && i < n; ++i) {
        const at::Tensor part = tensor::matmul_input_grad(matrix(dy[i]), weights[i].wait().contiguous());
        dx = dx.defined() ? dx.add_(part) : part;
      }
      return wants_x ? plan.ports.input.start_leave(with_last(dx, dy[0])) : Flight(at::Tensor());
    };
    // What travels furthest goes first, beside the other product: the weight's gradient where the weight was gathered.
    const bool weights_first = plan.ports.weight.kind() != Port::Kind::none;
    if (weights_first) start_weights();
    Flight dinput = start_input();
    if (!weights_first) start_weights();
    at::Tensor dx = dinput.wait();
    if (wants_x) dx = activation_backward(x, dx, plan.kind);
    Tensors results;
    for (Flight& dweight : dweights) results.push_back(dweight.wait());
    return plan.gradients(*ctx, dx, results, grads);
  }
};

struct SummaPlan : Operands {
  SummaGrid grid = {};
};

struct Summa : ag::Function<Summa> {
  static Tensors cast(at::TensorList weights, at::ScalarType type) {
    Tensors all;
    for (const at::Tensor& weight : weights) all.push_back(tensor::cached_cast(weight, type).contiguous());
    return all;
  }

  static ag::variable_list forward(ag::AutogradContext* ctx, const at::Tensor& x, at::TensorList list,
                                   const SummaPlan& plan) {
    const at::TensorList weights = list.slice(0, plan.num_weights);
    const Tensors biases = plan.biases(list, x.scalar_type());
    Tensors results =
        summa_forward(matrix(activation(x, plan.kind)), cast(weights, x.scalar_type()), plan.grid);
    for (size_t i = 0; i < results.size(); ++i) {
      if (biases[i].defined()) results[i].add_(biases[i]);
      results[i] = with_last(results[i], x);
    }
    ag::variable_list kept = {x};
    kept.insert(kept.end(), weights.begin(), weights.end());
    ctx->save_for_backward(std::move(kept));
    comm::save(*ctx, "plan", plan);
    return results;
  }

  static ag::variable_list backward(ag::AutogradContext* ctx, const ag::variable_list& grads) {
    const auto& plan = comm::saved<SummaPlan>(*ctx, "plan");
    const auto kept = ctx->get_saved_variables();
    const at::Tensor& x = kept[0];
    const at::TensorList weights = at::TensorList(kept).slice(1);
    Tensors dy, dweights(plan.num_weights);
    for (const at::Tensor& grad : grads) dy.push_back(matrix(grad));
    if (plan.wants_weights(*ctx)) {
      std::vector<at::ScalarType> types;
      for (const at::Tensor& weight : weights) types.push_back(weight.scalar_type());
      dweights = summa_weight_grads(dy, matrix(activation(x, plan.kind)), types, plan.grid);
    }
    at::Tensor dx;
    if (ctx->needs_input_grad(0)) {
      dx = summa_input_grad(dy, cast(weights, x.scalar_type()), plan.grid);
      dx = activation_backward(x, with_last(dx, grads[0]), plan.kind);
    }
    return plan.gradients(*ctx, dx, dweights, dy);
  }
};

}  // namespace

std::vector<at::Tensor> ported_linears(const at::Tensor& x, Activation kind,
                                       const std::vector<LinearOperands>& operands, const ProductPorts& ports,
                                       Keep keep) {
  return Ported::apply(x, at::TensorList(Operands::list(operands)),
                       PortedPlan{{kind, operands}, ports, keep});
}

std::vector<at::Tensor> summa_linears(const at::Tensor& x, Activation kind,
                                      const std::vector<LinearOperands>& operands, const SummaGrid& grid) {
  return Summa::apply(x, at::TensorList(Operands::list(operands)), SummaPlan{{kind, operands}, grid});
}

}  // namespace colossal::parallel
