// SPDX-License-Identifier: Apache-2.0
// What all factories share: the layers that follow from how activations lie (placement.h), whatever the tensor mode.
//
//   class TensorFactory final : public nn::StandardFactory { ... linear, embedding, head ... };
//
// Thread safety: one rank, one thread.
#pragma once
#include <map>

#include "colossal/nn/common/attention.h"
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

struct FactoryOptions {
  at::ScalarType compute = at::kFloat;  // activations: fp64, fp32, bf16 or fp16
  std::optional<at::ScalarType> parameters =
      {};  // default: fp64 for fp64, else fp32 (master weights); bf16 for inference
  at::Device device = at::kCPU;
};

class StandardFactory : public LayerFactory {
 public:
  LinearGroup linears(const std::vector<LinearOptions>& options) override;  // one by one
  std::shared_ptr<NormLayer> norm(const NormOptions& options) override;
  std::shared_ptr<PositionLayer> learned_positions(const EmbeddingOptions& options) override;
  std::shared_ptr<TokenTypeLayer> token_types(const EmbeddingOptions& options) override;
  std::shared_ptr<UnaryLayer> patch_embedding(const PatchEmbeddingOptions& options) override;
  std::shared_ptr<AttentionLayer> attention(const AttentionOptions& options) override;
  std::shared_ptr<HeadLayer> classifier(const ClassifierOptions& options) override;
  std::shared_ptr<TargetsLayer> targets() override;
  std::shared_ptr<UnaryLayer> dropout(double p, const std::string& site) override;

  const comm::Mesh& mesh() const override { return context_->mesh; }
  std::shared_ptr<StepState> state() const override { return context_->state; }

 protected:
  // stream, inner: how activations lie.
  StandardFactory(const comm::Mesh& mesh, std::shared_ptr<StepState> state, const FactoryOptions& options,
                  const Placement& stream, const Placement& inner);
  const LayerContextPtr& context() const { return context_; }

 private:
  LayerContextPtr context_;
  std::map<std::vector<double>, std::shared_ptr<RotaryCache>> rotary_;  // by inverse frequencies
};

}  // namespace colossal::nn
