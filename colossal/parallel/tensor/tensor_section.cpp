// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/tensor_section.h"

#include "colossal/base/config/schema.h"

namespace colossal::parallel {
namespace {

std::vector<std::pair<std::string, TensorMode>> tensor_mode_names() {
  std::vector<std::pair<std::string, TensorMode>> names;
  for (const std::string_view name : kTensorModes)
    names.emplace_back(name, static_cast<TensorMode>(names.size()));
  return names;
}

}  // namespace

void describe_tensor(config::Section<TensorSection>& s) {
  s.choice(
       "mode", &TensorSection::mode, tensor_mode_names(),
       "How the matrices of a layer are shared. 1d: by columns and rows; 1d-sequence: 1d, and the sequence "
       "in between; "
       "2d, 2.5d, 3d: weights and activations in blocks over a square, a stack of squares, a cube of ranks.")
      .meant("2.5", "2.5d")
      .meant("sequence", "1d-sequence");
  s.key("size", &TensorSection::size,
        "Ranks that share one replica of the model. 2d: q x q, 2.5d: depth x q x q, 3d: q x q x q.")
      .at_least(1)
      .also_called({"tp", "tensor_parallel_size", "tp_size"});
  s.key("depth", &TensorSection::depth, "2.5d: how many squares are stacked.").at_least(1);
  s.key("keep_gathered", &TensorSection::keep_gathered,
        "Keep what was gathered for a product until backward, instead of gathering it again: less "
        "communication, more memory.")
      .only_with("parallel.tensor.mode", {"1d-sequence", "3d"});
}

}  // namespace colossal::parallel
