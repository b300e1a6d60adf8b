// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense_factory.h"

#include "colossal/nn/dense/embedding.h"
#include "colossal/nn/dense/head.h"
#include "colossal/nn/dense/linear.h"

namespace colossal::nn {

std::shared_ptr<UnaryLayer> DenseFactory::linear(const LinearOptions& options) {
  return std::make_shared<DenseLinear>(context(), options);
}

std::shared_ptr<UnaryLayer> DenseFactory::embedding(const EmbeddingOptions& options) {
  return std::make_shared<DenseEmbedding>(context(), options);
}

std::shared_ptr<HeadLayer> DenseFactory::head(const HeadOptions& options) {
  return std::make_shared<DenseHead>(context(), options);
}

}  // namespace colossal::nn
