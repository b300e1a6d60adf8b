// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/standard_factory.h"

#include "colossal/nn/common/classifier.h"
#include "colossal/nn/common/dropout.h"
#include "colossal/nn/common/norm.h"
#include "colossal/nn/common/patch_embedding.h"
#include "colossal/nn/common/positions.h"
#include "colossal/nn/common/target_tokens.h"
#include "colossal/nn/common/token_types.h"

namespace colossal::nn {

StandardFactory::StandardFactory(const comm::Mesh& mesh, std::shared_ptr<StepState> state,
                                 const FactoryOptions& options, const Placement& stream,
                                 const Placement& inner)
    : context_(std::make_shared<const LayerContext>(LayerContext{
          .mesh = mesh,
          .state = std::move(state),
          .compute = options.compute,
          .parameters =
              options.parameters.value_or(options.compute == at::kDouble ? at::kDouble : at::kFloat),
          .device = options.device,
          .stream = stream,
          .inner = inner})) {}

LinearGroup StandardFactory::linears(const std::vector<LinearOptions>& options) {
  check(options);
  LinearGroup group;
  for (const LinearOptions& each : options) group.layers.push_back(linear(each));
  group.forward = [layers = group.layers](const at::Tensor& x) {
    std::vector<at::Tensor> results;
    for (const auto& layer : layers) results.push_back(layer->forward(x));
    return results;
  };
  return group;
}

std::shared_ptr<NormLayer> StandardFactory::norm(const NormOptions& options) {
  return std::make_shared<Norm>(context_, options);
}

std::shared_ptr<PositionLayer> StandardFactory::learned_positions(const EmbeddingOptions& options) {
  return std::make_shared<Positions>(context_, options);
}

std::shared_ptr<TokenTypeLayer> StandardFactory::token_types(const EmbeddingOptions& options) {
  return std::make_shared<TokenTypes>(context_, options);
}

std::shared_ptr<UnaryLayer> StandardFactory::patch_embedding(const PatchEmbeddingOptions& options) {
  return std::make_shared<PatchEmbedding>(context_, options);
}

std::shared_ptr<HeadLayer> StandardFactory::classifier(const ClassifierOptions& options) {
  return std::make_shared<Classifier>(context_, options);
}

std::shared_ptr<TargetsLayer> StandardFactory::targets() { return std::make_shared<TargetTokens>(context_); }

std::shared_ptr<AttentionLayer> StandardFactory::attention(const AttentionOptions& options) {
  std::shared_ptr<RotaryCache> rotary;
  if (options.rotary) {
    std::shared_ptr<RotaryCache>& shared = rotary_[options.rotary->inverse_frequencies];
    if (!shared) {
      shared = std::make_shared<RotaryCache>(options.rotary->inverse_frequencies, context_->compute,
                                             context_->device);
    }
    rotary = shared;
  }
  return std::make_shared<Attention>(*this, context_, options, std::move(rotary));
}

std::shared_ptr<UnaryLayer> StandardFactory::dropout(double p, const std::string& site) {
  return std::make_shared<Dropout>(context_, p, site);
}

}  // namespace colossal::nn
