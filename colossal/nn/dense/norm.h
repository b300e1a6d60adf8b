// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm over the last dim on one device.
//
//   auto norm = std::make_shared<DenseNorm>(context, NormOptions{.size = 64});
//   auto [sum, normed] = norm->add(branch, residual);
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/dense/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class DenseNorm final : public NormLayer {
 public:
  DenseNorm(const DenseContextPtr& context, const NormOptions& options);
  at::Tensor forward(const at::Tensor& x) override;
  Added add(const at::Tensor& x, const at::Tensor& residual) override;

 private:
  NormOptions options_;
  at::Tensor weight_;
  at::Tensor bias_;
};

}  // namespace colossal::nn
