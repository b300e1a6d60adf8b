// SPDX-License-Identifier: Apache-2.0
// Adam (arXiv:1412.6980) and AdamW (arXiv:1711.05101), with AMSGrad on request.
//
//   Adam optimizer(options, Adam::Decay::decoupled, parameters, mesh);
//
// CPU: one fused pass (adam_kernel.h). CUDA: ATen's fused operator. Elsewhere: elementwise ATen.
#pragma once
#include "colossal/optim/slot_optimizer.h"

namespace colossal::optim {

struct AdamCoefficients;

class Adam final : public SlotOptimizer {
 public:
  enum class Decay { in_gradient, decoupled };
  Adam(const OptimizerOptions& options, Decay decay, std::vector<nn::Parameter> parameters, comm::Mesh mesh);

 private:
  void update(const StepOptions& step) override;
  template <typename T>
  void update_on_cpu(const std::vector<size_t>& which, const StepOptions& step);
  void update_on_cuda(const std::vector<size_t>& which, const StepOptions& step);
  void update_elementwise(size_t i, const StepOptions& step);
  AdamCoefficients coefficients(size_t i, const StepOptions& step) const;

  OptimizerOptions options_;
  Decay decay_;
};

}  // namespace colossal::optim
