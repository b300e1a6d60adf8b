// SPDX-License-Identifier: Apache-2.0
// Optional inputs of autograd functions, which take no undefined tensors.
//
//   Linear::apply(x, weight, given(bias));
//
// Thread-safe: pure function.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

namespace colossal::nn::functional {

inline std::optional<at::Tensor> given(const at::Tensor& t) {
  return t.defined() ? std::optional<at::Tensor>(t) : std::nullopt;
}

}  // namespace colossal::nn::functional
