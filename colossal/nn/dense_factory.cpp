// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense_factory.h"

#include "colossal/nn/dense/dropout.h"
#include "colossal/nn/dense/embedding.h"
#include "colossal/nn/dense/head.h"
#include "colossal/nn/dense/linear.h"
#include "colossal/nn/dense/norm.h"

namespace colossal::nn {

DenseFactory::DenseFactory(const comm::Mesh& mesh, std::shared_ptr<StepState> state,
                           const DenseOptions& options)
    : context_(std::make_shared<const DenseContext>(DenseContext{
          .mesh = mesh,
          .state = std::move(state),
          .compute = options.compute,
          .parameters =
              options.parameters.value_or(options.compute == at::kDouble ? at::kDouble : at::kFloat),
          .device = options.device})) {}

std::shared_ptr<UnaryLayer> DenseFactory::linear(const LinearOptions& options) {
  return std::make_shared<DenseLinear>(context_, options);
}

std::shared_ptr<NormLayer> DenseFactory::norm(const NormOptions& options) {
  return std::make_shared<DenseNorm>(context_, options);
}

std::shared_ptr<UnaryLayer> DenseFactory::embedding(const EmbeddingOptions& options) {
  return std::make_shared<DenseEmbedding>(context_, options);
}

std::shared_ptr<PositionLayer> DenseFactory::learned_positions(const EmbeddingOptions& options) {
  return std::make_shared<DensePositions>(context_, options);
}

std::shared_ptr<AttentionLayer> DenseFactory::attention(const AttentionOptions& options) {
  std::shared_ptr<RotaryCache> rotary;
  if (options.rotary) {
    std::shared_ptr<RotaryCache>& shared = rotary_[options.rotary->inverse_frequencies];
    if (!shared) {
      shared = std::make_shared<RotaryCache>(options.rotary->inverse_frequencies, context_->compute,
                                             context_->device);
    }
    rotary = shared;
  }
  return std::make_shared<DenseAttention>(context_, options, std::move(rotary));
}

std::shared_ptr<HeadLayer> DenseFactory::head(const HeadOptions& options) {
  return std::make_shared<DenseHead>(context_, options);
}

std::shared_ptr<UnaryLayer> DenseFactory::dropout(double p, const std::string& site) {
  return std::make_shared<DenseDropout>(context_, p, site);
}

}  // namespace colossal::nn
