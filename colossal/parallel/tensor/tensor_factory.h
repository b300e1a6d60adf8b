// SPDX-License-Identifier: Apache-2.0
// The factory of layers that the ranks of a tensor-parallel group share, in any of the modes.
//
//   Mesh mesh(world, MeshShape({{"data", 2}, {"row", 2}, {"column", 2}}));
//   TensorFactory make(mesh, state, TensorMode::two_d, {.compute = at::kBFloat16});
//   auto model = models::build(config, make);
//
// Ids, labels and masks that go in are those of the whole replica, on each of its ranks; losses and logits that come out, too.
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/standard_factory.h"
#include "colossal/parallel/tensor/linear.h"
#include "colossal/parallel/tensor/mode.h"

namespace colossal::parallel {

struct TensorOptions {
  Keep keep = Keep::shards;  // 1D with sequence and 3D
};

class TensorFactory final : public nn::StandardFactory {
 public:
  // `mesh` has the axes of the mode (tensor_axes); not TensorMode::none.
  TensorFactory(const comm::Mesh& mesh, std::shared_ptr<nn::StepState> state, TensorMode mode,
                const nn::FactoryOptions& options = {}, const TensorOptions& tensor = {});

  std::shared_ptr<nn::UnaryLayer> linear(const nn::LinearOptions& options) override;
  nn::LinearGroup linears(const std::vector<nn::LinearOptions>& options) override;
  std::shared_ptr<nn::UnaryLayer> embedding(const nn::EmbeddingOptions& options) override;
  std::shared_ptr<nn::HeadLayer> head(const nn::HeadOptions& options) override;

 private:
  std::shared_ptr<TensorLinear> tensor_linear(const nn::LinearOptions& options) const;
  ProductPorts linear_ports(nn::Role role) const;
  ProductPorts head_ports() const;

  TensorMode mode_;
  Arrangement who_;
  TensorOptions tensor_;
};

// Of any mode: with TensorMode::none layers that every rank holds in full.
std::unique_ptr<nn::LayerFactory> make_factory(const comm::Mesh& mesh, std::shared_ptr<nn::StepState> state,
                                               TensorMode mode, const nn::FactoryOptions& options = {},
                                               const TensorOptions& tensor = {});

}  // namespace colossal::parallel
