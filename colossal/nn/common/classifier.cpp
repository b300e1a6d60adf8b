// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/classifier.h"

#include "colossal/comm/autograd.h"
#include "colossal/nn/common/parts.h"
#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/functional/linear.h"

namespace colossal::nn {

Classifier::Classifier(LayerContextPtr context, const ClassifierOptions& options)
    : context_(std::move(context)), rows_(context_->mesh.group(context_->stream.batch)) {
  // In full everywhere; what ranks of other rows see adds up.
  const auto add = [&](const char* name, const tensor::Shape& shape, Init init, bool decay) {
    ParameterSpec spec = context_->replicated(shape, init, decay);
    spec.sum_axes = context_->stream.batch;
    return add_parameter(name, shape, std::move(spec), context_->parameter_options());
  };
  const int64_t hidden = options.hidden, classes = options.num_classes;
  const Init normal = Init::normal(options.init_std);
  if (options.pooled) {
    pool_weight_ = add("pool_weight", {hidden, hidden}, normal, true);
    pool_bias_ = add("pool_bias", {hidden}, Init::zeros(), false);
  }
  weight_ = add("weight", {classes, hidden}, normal, true);
  bias_ = add("bias", {classes}, Init::zeros(), false);
}

at::Tensor Classifier::features(const at::Tensor& x) const {
  const Placement& stream = context_->stream;
  at::Tensor token = x.narrow(1, 0, 1);
  token =
      comm::join_from(token, context_->mesh.group(stream.sequence), 1).select(1, 0);  // the first rank has it
  token = comm::join_from(token, context_->mesh.group(stream.hidden), 1);
  return pool_weight_.defined() ? functional::linear(token, pool_weight_, pool_bias_).tanh() : token;
}

at::Tensor Classifier::own_labels(const at::Tensor& labels) const {
  return own_part(labels, 0, context_->stream.batch, context_->mesh, functional::kIgnoredLabel);
}

at::Tensor Classifier::all_rows(const at::Tensor& own) const {
  const at::Tensor all = comm::join_from(own, rows_, 0);
  return rows_.size() == 1 ? all : all.narrow(0, 0, context_->state->num_rows);
}

at::Tensor Classifier::logits(const at::Tensor& x) {
  return all_rows(functional::linear(features(x), weight_, bias_));
}

at::Tensor Classifier::loss(const at::Tensor& x, const at::Tensor& labels, double num_targets) {
  return comm::reduce_from(
      functional::fused_linear_cross_entropy(features(x), weight_, own_labels(labels), num_targets, bias_),
      rows_);
}

functional::TokenScores Classifier::scores(const at::Tensor& x, const at::Tensor& labels) {
  const auto own = functional::token_scores(features(x), weight_, own_labels(labels), bias_);
  return {all_rows(own.log_probs), all_rows(own.right)};
}

}  // namespace colossal::nn
