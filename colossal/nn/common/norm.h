// SPDX-License-Identifier: Apache-2.0
// Layer norm and RMS norm over the hidden dim, which may be sharded.
//
//   auto norm = std::make_shared<Norm>(context, NormOptions{.size = 64});
//   auto [sum, normed] = norm->add(branch, residual);
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

class Norm final : public NormLayer {
 public:
  Norm(const LayerContextPtr& context, const NormOptions& options);
  at::Tensor forward(const at::Tensor& x) override;
  Added add(const at::Tensor& x, const at::Tensor& residual) override;

 private:
  NormOptions options_;
  comm::Group group_;  // over which the hidden dim is sharded
  at::Tensor weight_;
  at::Tensor bias_;
};

}  // namespace colossal::nn
