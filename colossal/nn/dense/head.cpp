// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/head.h"

#include "colossal/nn/dense/embedding.h"
#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/functional/linear.h"

namespace colossal::nn {

DenseHead::DenseHead(const LayerContextPtr& context, const HeadOptions& options) {
  const tensor::Shape shape = {options.vocab_size, options.hidden};
  const ParameterSpec spec = context->replicated(shape, Init::normal(options.init_std), true);
  if (options.tied_embedding) {
    weight_ = tie_parameter("weight", options.tied_embedding->named_parameters()["weight"], spec);
    if (auto* embedding = dynamic_cast<DenseEmbedding*>(options.tied_embedding.get()))
      deferred_ = embedding->share_gradient();
  } else {
    weight_ = add_parameter("weight", shape, spec, context->parameter_options());
  }
  if (!options.bias) return;
  bias_ = add_parameter("bias", {options.vocab_size},
                        context->replicated({options.vocab_size}, Init::zeros(), false),
                        context->parameter_options());
}

const at::Tensor& DenseHead::announced(const at::Tensor& output) const {
  if (deferred_) deferred_->expect_dense_from(output);
  return output;
}

at::Tensor DenseHead::logits(const at::Tensor& x) { return announced(functional::linear(x, weight_, bias_)); }

at::Tensor DenseHead::last_logits(const at::Tensor& x) { return logits(x.select(1, x.size(1) - 1)); }

at::Tensor DenseHead::loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) {
  return announced(functional::fused_linear_cross_entropy(x, weight_, labels, num_targets, bias_));
}

functional::TokenScores DenseHead::scores(const at::Tensor& x, const at::Tensor& labels) {
  return functional::token_scores(x, weight_, labels, bias_);
}

}  // namespace colossal::nn
