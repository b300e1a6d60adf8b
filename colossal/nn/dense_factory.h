// SPDX-License-Identifier: Apache-2.0
// The factory of layers that every rank holds in full: one device, or data parallel.
//
//   nn::DenseFactory make(mesh, state, {.compute = at::kBFloat16});     // fp32 master weights
//   auto model = models::build(config, make);
//
// Thread safety: one rank, one thread.
#pragma once
#include <map>

#include "colossal/nn/dense/attention.h"
#include "colossal/nn/dense/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

struct DenseOptions {
  at::ScalarType compute = at::kFloat;  // activations: fp64, fp32, bf16 or fp16
  std::optional<at::ScalarType> parameters =
      {};  // default: fp64 for fp64, else fp32 (master weights); bf16 for inference
  at::Device device = at::kCPU;
};

class DenseFactory final : public LayerFactory {
 public:
  DenseFactory(const comm::Mesh& mesh, std::shared_ptr<StepState> state, const DenseOptions& options = {});

  std::shared_ptr<UnaryLayer> linear(const LinearOptions& options) override;
  std::shared_ptr<NormLayer> norm(const NormOptions& options) override;
  std::shared_ptr<UnaryLayer> embedding(const EmbeddingOptions& options) override;
  std::shared_ptr<PositionLayer> learned_positions(const EmbeddingOptions& options) override;
  std::shared_ptr<AttentionLayer> attention(const AttentionOptions& options) override;
  std::shared_ptr<HeadLayer> head(const HeadOptions& options) override;
  std::shared_ptr<UnaryLayer> dropout(double p, const std::string& site) override;

  const comm::Mesh& mesh() const override { return context_->mesh; }
  std::shared_ptr<StepState> state() const override { return context_->state; }

 private:
  DenseContextPtr context_;
  std::map<std::vector<double>, std::shared_ptr<RotaryCache>> rotary_;  // by inverse frequencies
};

}  // namespace colossal::nn
