// SPDX-License-Identifier: Apache-2.0
// Shapes in error messages.
//
//   shape_text(x.sizes())   // "4x256x384"; "scalar" for a 0-d tensor
//
// Thread-safe: pure function.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

namespace colossal::tensor {

inline std::string shape_text(at::IntArrayRef sizes) {
  std::string text;
  for (const int64_t n : sizes) text += (text.empty() ? "" : "x") + std::to_string(n);
  return text.empty() ? "scalar" : text;
}

}  // namespace colossal::tensor
