// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/dense/head.h"

#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/functional/linear.h"

namespace colossal::nn {

DenseHead::DenseHead(DenseContextPtr context, const HeadOptions& options) {
  const tensor::Shape shape = {options.vocab_size, options.hidden};
  const ParameterSpec spec = context->replicated(shape, Init::normal(options.init_std), true);
  if (options.tied_embedding) {
    weight_ = tie_parameter("weight", options.tied_embedding->named_parameters()["weight"], spec);
  } else {
    weight_ = add_parameter("weight", shape, spec, context->parameter_options());
  }
}

at::Tensor DenseHead::logits(const at::Tensor& x) { return functional::linear(x, weight_, at::Tensor()); }

at::Tensor DenseHead::loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) {
  return functional::fused_linear_cross_entropy(x, weight_, labels, num_targets);
}

at::Tensor DenseHead::log_probs(const at::Tensor& x, const at::Tensor& labels) {
  return functional::token_log_probs(x, weight_, labels);
}

}  // namespace colossal::nn
