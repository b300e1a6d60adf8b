// SPDX-License-Identifier: Apache-2.0
// Words for a step that is spoiled by NaN or Inf.
//
//   fmt::print("step 7: NaN or Inf in {}\n", name_nonfinite(loss, parameter));
//
// Thread-safe: a pure function.
#pragma once
#include <cmath>
#include <string>

namespace colossal::train {

// "the loss", "the gradient of wte", "the loss and the gradient of wte"; `parameter` is empty when all gradients are finite.
inline std::string name_nonfinite(double loss, const std::string& parameter) {
  std::string text = std::isfinite(loss) ? "" : "the loss";
  if (!parameter.empty()) text += (text.empty() ? "the gradient of " : " and the gradient of ") + parameter;
  return text.empty() ? "the norm of the gradients" : text;
}

}  // namespace colossal::train
