// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/norm.h"

#include "colossal/nn/functional/norm.h"
#include "colossal/nn/functional/sharded_norm.h"

namespace colossal::nn {

Norm::Norm(const LayerContextPtr& context, const NormOptions& options)
    : options_(options), group_(context->mesh.group(context->stream.hidden)) {
  const at::TensorOptions dtype = context->parameter_options();
  const int64_t local = options.size / group_.size();
  weight_ =
      add_parameter("weight", {local},
                    context->along_hidden({options.size}, 0, context->stream, Init::ones(), false), dtype);
  if (options.kind == NormOptions::Kind::layer && options.bias) {
    bias_ =
        add_parameter("bias", {local},
                      context->along_hidden({options.size}, 0, context->stream, Init::zeros(), false), dtype);
  }
}

at::Tensor Norm::forward(const at::Tensor& x) {
  const bool rms = options_.kind == NormOptions::Kind::rms;
  if (group_.size() > 1) {
    return rms ? functional::sharded_rms_norm(x, weight_, options_.eps, group_)
               : functional::sharded_layer_norm(x, weight_, bias_, options_.eps, group_);
  }
  return rms ? functional::rms_norm(x, weight_, options_.eps)
             : functional::layer_norm(x, weight_, bias_, options_.eps);
}

NormLayer::Added Norm::add(const at::Tensor& x, const at::Tensor& residual) {
  const bool rms = options_.kind == NormOptions::Kind::rms;
  functional::AddNorm both;
  if (group_.size() > 1) {
    both = rms ? functional::sharded_add_rms_norm(x, residual, weight_, options_.eps, group_)
               : functional::sharded_add_layer_norm(x, residual, weight_, bias_, options_.eps, group_);
  } else {
    both = rms ? functional::add_rms_norm(x, residual, weight_, options_.eps)
               : functional::add_layer_norm(x, residual, weight_, bias_, options_.eps);
  }
  return {both.sum, both.normed};
}

}  // namespace colossal::nn
