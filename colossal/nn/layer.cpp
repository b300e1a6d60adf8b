// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/layer.h"

#include <fmt/ranges.h>

#include "colossal/base/error.h"

namespace colossal::nn {
namespace {

void check_elements(const std::string& name, at::IntArrayRef local_shape, const ParameterSpec& spec) {
  int64_t elements = 1;
  for (int64_t size : local_shape) elements *= size;
  if (elements != spec.layout.local_numel()) {
    throw ShapeError(fmt::format(
        "parameter {}: local shape [{}] has {} elements, its layout {} gives each rank {}.", name,
        fmt::join(local_shape, ", "), elements, spec.layout.describe(), spec.layout.local_numel()));
  }
}

}  // namespace

at::Tensor Layer::add_parameter(const std::string& name, at::IntArrayRef local_shape, ParameterSpec spec,
                                const at::TensorOptions& options) {
  check_elements(name, local_shape, spec);
  at::Tensor tensor = register_parameter(name, at::empty(local_shape, options));
  specs_[name] = std::move(spec);
  return tensor;
}

at::Tensor Layer::tie_parameter(const std::string& name, const at::Tensor& shared, ParameterSpec spec) {
  check_elements(name, shared.sizes(), spec);
  register_parameter(name, shared, shared.requires_grad());
  specs_[name] = std::move(spec);
  return shared;
}

}  // namespace colossal::nn
