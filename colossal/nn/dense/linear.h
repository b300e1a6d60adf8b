// SPDX-License-Identifier: Apache-2.0
// y = x W^T + b on one device.
//
//   auto up = std::make_shared<DenseLinear>(context, LinearOptions{.in = 64, .out = 256});
//   at::Tensor y = up->forward(x);   // [.., 64] -> [.., 256]
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/dense/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseLinear final : public UnaryLayer {
 public:
  DenseLinear(const DenseContextPtr& context, const LinearOptions& options);
  // The weight is logically `weight` (outputs before inputs), locally [.., in]; the bias likewise, or none.
  DenseLinear(const DenseContextPtr& context, const tensor::Shape& weight, int64_t in,
              const std::optional<tensor::Shape>& bias, double init_std,
              functional::Activation activation = functional::Activation::none);
  at::Tensor forward(const at::Tensor& x) override;

 private:
  at::Tensor weight_;
  at::Tensor bias_;
  functional::Activation activation_;  // of the input
};

}  // namespace colossal::nn
