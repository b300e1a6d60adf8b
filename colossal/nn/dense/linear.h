// SPDX-License-Identifier: Apache-2.0
// y = act(x) W^T + b on one device.
//
//   auto up = std::make_shared<DenseLinear>(context, LinearOptions{.in = 64, .out = {256}});
//   at::Tensor y = up->forward(x);   // [.., 64] -> [.., 256]
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseLinear final : public UnaryLayer {
 public:
  DenseLinear(const LayerContextPtr& context, const LinearOptions& options);
  at::Tensor forward(const at::Tensor& x) override;

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  functional::Activation activation_;  // of the input
};

}  // namespace colossal::nn
