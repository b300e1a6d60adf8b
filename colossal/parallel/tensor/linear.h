// SPDX-License-Identifier: Apache-2.0
// Linear layers of the tensor modes: y = act(x) W^T + b on this rank's parts.
//
//   auto up = std::make_shared<Linear2D>(mesh, LinearOptions{.in = 1024, .out = {16384}});   // mesh: row q x column q
//   at::Tensor y = up->forward(x);   // [b / q, s, 1024 / q] -> [b / q, s, 16384 / q]
//
// Thread safety: one rank, one thread; forward and backward are collective over the mode's groups.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"
#include "colossal/parallel/tensor/products.h"

namespace colossal::parallel {

// Which axes shard the two dims of a weight, and which hold copies of it that see other rows of the batch.
struct WeightAxes {
  comm::Axes out, in, replicas;
};

// What all of them keep: the local weight [out, in], the bias, and the activation of the input.
class TensorLinear : public nn::UnaryLayer {
 public:
  at::Tensor forward(const at::Tensor& x) final;

 protected:
  TensorLinear(const nn::LayerContext& context, const nn::LinearOptions& options, const WeightAxes& axes);

 private:
  friend std::vector<at::Tensor> forward_together(const std::vector<std::shared_ptr<TensorLinear>>& layers,
                                                  const at::Tensor& x);
  virtual std::vector<at::Tensor> multiply(const at::Tensor& x, nn::functional::Activation kind,
                                           const std::vector<LinearOperands>& operands) const = 0;

  LinearOperands operands_;
  nn::functional::Activation activation_;
};

// As layer by layer, but what travels of x travels once. The layers are of one factory, one role and one activation.
std::vector<at::Tensor> forward_together(const std::vector<std::shared_ptr<TensorLinear>>& layers,
                                         const at::Tensor& x);

// 1D, 1D with sequence, 3D (products.h).
class PortedLinear final : public TensorLinear {
 public:
  PortedLinear(const nn::LayerContext& context, const nn::LinearOptions& options, const WeightAxes& axes,
               ProductPorts ports, Keep keep);

 private:
  std::vector<at::Tensor> multiply(const at::Tensor& x, nn::functional::Activation kind,
                                   const std::vector<LinearOperands>& operands) const override;

  ProductPorts ports_;
  Keep keep_;
};

// SUMMA over a q x q grid: panels of x go along rows, panels of W along columns, one step ahead of the product (arXiv 2104.05343).
// Sent per rank: (q - 1) / q^2 (|X| + |W|) forward, twice that backward. 2.5D: every depth has its own X, |X| / d, and the gradient of W
// is summed over depth once per step, 2 (d - 1) / d |W| / q^2 (arXiv 2105.14500).
class Linear2D final : public TensorLinear {
 public:
  // On its own: rows of x over the axis "row", columns over "column" (two_d in mode.h). Weights are uninitialised: nn::initialize.
  // ShapeError unless `mesh` has both axes, of one size that divides in and out.
  Linear2D(const comm::Mesh& mesh, const nn::LinearOptions& options, at::ScalarType dtype = at::kFloat);
  Linear2D(const nn::LayerContext& context, const nn::LinearOptions& options,
           const comm::Axes& replicas = {});

 private:
  std::vector<at::Tensor> multiply(const at::Tensor& x, nn::functional::Activation kind,
                                   const std::vector<LinearOperands>& operands) const override;

  SummaGrid grid_;
};

}  // namespace colossal::parallel
