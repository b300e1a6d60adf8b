// SPDX-License-Identifier: Apache-2.0
// The table `tensor` of [parallel] in a run file: the one place where a mode is chosen by its name.
//
//   [parallel]
//   tensor = { mode = "2d", size = 4 }
//
// Thread-safe: values and pure functions; no torch.
#pragma once
#include "colossal/parallel/tensor/mode.h"

namespace colossal::config {
template <class T>
class Section;
}

namespace colossal::parallel {

struct TensorSection {
  TensorMode mode = TensorMode::none;
  int64_t size = 1;
  int64_t depth = 1;
  bool keep_gathered = false;
  TensorParallel how() const { return {mode, size, depth}; }
};

inline constexpr const char* kTensorSectionHelp =
    "Tensor parallelism, written as `tensor = { mode = \"2d\", size = 4 }`.";
// Its keys with type, range and help.
void describe_tensor(config::Section<TensorSection>& s);

}  // namespace colossal::parallel
