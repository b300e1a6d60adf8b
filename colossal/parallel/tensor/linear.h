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
#include "colossal/parallel/tensor/port.h"

namespace colossal::parallel {

// Which axes shard the two dims of a weight, and which hold copies of it that see other rows of the batch.
struct WeightAxes {
  comm::Axes out, in, replicas;
};

// What all of them keep: the local weight [out, in], the bias, and the activation of the input.
class TensorLinear : public nn::UnaryLayer {
 protected:
  TensorLinear(const nn::LayerContext& context, const nn::LinearOptions& options, const WeightAxes& axes);

  at::Tensor weight_;
  at::Tensor bias_;
  nn::functional::Activation activation_;
};

// Operands are gathered before the product and its result is summed after it: 1D (column and row), 1D with sequence, 3D.
//   1D expand     x enters by sum                          contract   y leaves by sum
//   1D-sequence   x is gathered along the sequence                    y is cut along it
//   3D            x and W are gathered, y is cut along the batch; input and output change roles
// Sent per rank, of t or q^3 ranks, |A| elements of a whole matrix:
//   1D expand     2 (t - 1) / t |X| backward               contract   2 (t - 1) / t |Y| forward
//   1D-sequence   (t - 1) / t |X| forward, twice backward             (t - 1) / t |Y| each way
//   3D            (q - 1) / q^3 (|X| + |W| + |Y|) each way, and once more X and W backward
// What is sent backward for x or W to be gathered again falls away where they are kept (Keep::gathered).
struct ProductPorts {
  Port input, weight, output;
};
// What is kept of the gathered operands between forward and backward: the shards (they are gathered again), or all.
enum class Keep { shards, gathered };

class PortedLinear final : public TensorLinear {
 public:
  PortedLinear(const nn::LayerContext& context, const nn::LinearOptions& options, const WeightAxes& axes,
               ProductPorts ports, Keep keep);
  at::Tensor forward(const at::Tensor& x) override;

 private:
  ProductPorts ports_;
  Keep keep_;
};

// The same as a function, differentiable. x: [.., in of this rank], kind: of the activation of x, weight: local [out, in], bias: local or undefined.
at::Tensor ported_linear(const at::Tensor& x, nn::functional::Activation kind, const at::Tensor& weight,
                         const at::Tensor& bias, const ProductPorts& ports, Keep keep);

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
  at::Tensor forward(const at::Tensor& x) override;

 private:
  comm::Group along_row_, along_column_;
};

}  // namespace colossal::parallel
