// SPDX-License-Identifier: Apache-2.0
// What all layers of one model share: where they live, in which precision, how activations lie, and the state of the pass.
//
//   auto context = std::make_shared<const LayerContext>(LayerContext{.mesh = mesh, .state = state, .compute = at::kBFloat16});
//
// Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>

#include "colossal/comm/mesh.h"
#include "colossal/nn/parameter.h"
#include "colossal/nn/placement.h"
#include "colossal/nn/step_state.h"

namespace colossal::nn {

struct LayerContext {
  comm::Mesh mesh = {};
  std::shared_ptr<StepState> state = std::make_shared<StepState>();
  at::ScalarType compute = at::kFloat;     // of activations
  at::ScalarType parameters = at::kFloat;  // of weights: fp32 masters under bf16 and fp16
  at::Device device = at::kCPU;
  Placement stream = {};  // of the residual stream
  Placement inner = {};   // between a linear that expands from it and one that contracts to it

  at::TensorOptions parameter_options() const { return at::TensorOptions(parameters).device(device); }
  // A parameter that every rank holds in full.
  ParameterSpec replicated(tensor::Shape shape, Init init, bool decay) const {
    return {.layout = tensor::Layout::replicated(std::move(shape), mesh.shape()),
            .init = init,
            .decay = decay,
            .sum_axes = {}};
  }
  // A parameter whose dim `dim` is that of activations in `placement`, and that every token meets: a bias, a norm's weight.
  ParameterSpec along_hidden(tensor::Shape shape, size_t dim, const Placement& placement, Init init,
                             bool decay) const {
    std::vector<comm::Axes> dims(shape.size());
    dims[dim] = placement.hidden;
    return {.layout = tensor::Layout(std::move(shape), mesh.shape(), std::move(dims)),
            .init = init,
            .decay = decay,
            .sum_axes = placement.token_axes()};
  }
};

using LayerContextPtr = std::shared_ptr<const LayerContext>;

// Where local rows 0 .. of an activation of `rows` local rows begin in the global batch, under `placement`.
inline int64_t first_global_row(const LayerContext& context, const Placement& placement, int64_t rows) {
  return context.state->first_row +
         context.mesh.shape().group_index(context.mesh.rank(), placement.batch) * rows;
}

}  // namespace colossal::nn
