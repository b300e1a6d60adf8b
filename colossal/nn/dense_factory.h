// SPDX-License-Identifier: Apache-2.0
// The factory of layers that every rank holds in full: one device, or data parallel.
//
//   nn::DenseFactory make(mesh, state, {.compute = at::kBFloat16});     // fp32 master weights
//   auto model = models::build(config, make);
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/standard_factory.h"

namespace colossal::nn {

class DenseFactory final : public StandardFactory {
 public:
  DenseFactory(const comm::Mesh& mesh, std::shared_ptr<StepState> state, const FactoryOptions& options = {})
      : StandardFactory(mesh, std::move(state), options, {}, {}) {}

  std::shared_ptr<UnaryLayer> linear(const LinearOptions& options) override;
  std::shared_ptr<UnaryLayer> embedding(const EmbeddingOptions& options) override;
  std::shared_ptr<HeadLayer> head(const HeadOptions& options) override;
};

}  // namespace colossal::nn
