// SPDX-License-Identifier: Apache-2.0
// The L2 norm over all logical gradient elements, each counted once whatever the layout, and who spoils it.
//
//   GradientNorm norm = gradient_norm(parameters, mesh);
//   double factor = clip_factor(norm.value, max_norm);
//
// Thread safety: one rank, one thread.
#pragma once
#include <string>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/nn/parameter.h"

namespace colossal::optim {

struct GradientNorm {
  double value = 0;  // equal on all ranks; accumulated in fp64; not finite when any gradient is not
  // The first parameter (in registration order over all ranks) whose gradient holds NaN or Inf, else empty.
  std::string nonfinite = {};
};

// Gradients must already be summed over data-parallel ranks. One small all_reduce over the axes that shard any parameter (none when no
// axis does); a second exchange only when the norm is not finite.
GradientNorm gradient_norm(const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh);

// min(1, max_norm / (norm + 1e-6)); 1 when max_norm is 0.
double clip_factor(double norm, double max_norm);

}  // namespace colossal::optim
