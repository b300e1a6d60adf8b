// SPDX-License-Identifier: Apache-2.0
// What all dense layers of one model share: where they live, in which precision, and the state of the pass.
//
//   auto context = std::make_shared<const DenseContext>(DenseContext{.mesh = mesh, .state = state, .compute = at::kBFloat16});
//
// Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

#include "colossal/comm/mesh.h"
#include "colossal/nn/parameter.h"
#include "colossal/nn/step_state.h"

namespace colossal::nn {

struct DenseContext {
  comm::Mesh mesh = {};
  std::shared_ptr<StepState> state = std::make_shared<StepState>();
  at::ScalarType compute = at::kFloat;     // of activations
  at::ScalarType parameters = at::kFloat;  // of weights: fp32 masters under bf16 and fp16
  at::Device device = at::kCPU;

  at::TensorOptions parameter_options() const { return at::TensorOptions(parameters).device(device); }
  // A parameter that every rank holds in full.
  ParameterSpec replicated(tensor::Shape shape, Init init, bool decay) const {
    return {.layout = tensor::Layout::replicated(std::move(shape), mesh.shape()),
            .init = init,
            .decay = decay,
            .sum_axes = {}};
  }
};

using DenseContextPtr = std::shared_ptr<const DenseContext>;

}  // namespace colossal::nn
