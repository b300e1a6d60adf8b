// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/inputs.h"

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::models {

const at::Tensor& input(const Inputs& inputs, const std::string& name) {
  if (const auto found = inputs.find(name); found != inputs.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [given, tensor] : inputs) names.push_back(given);
  throw ShapeError(fmt::format("model: input \"{}\" is missing. Given: {}.", name,
                               names.empty() ? "none" : join(names, ", ")));
}

at::Tensor optional_input(const Inputs& inputs, const std::string& name) {
  const auto found = inputs.find(name);
  return found == inputs.end() ? at::Tensor() : found->second;
}

void check_ids(const at::Tensor& ids) {
  if (ids.dim() == 2 && ids.scalar_type() == at::kLong) return;
  throw ShapeError(fmt::format("model: ids are {} with {} dims. Allowed: int64 [batch, sequence].",
                               c10::toString(ids.scalar_type()), ids.dim()));
}

at::Tensor key_mask(const Inputs& inputs) {
  const at::Tensor mask = optional_input(inputs, "attention_mask");
  return mask.defined() ? mask.to(at::kBool) : mask;
}

bool is_label(const std::string& name) {
  return name == "label" || name == "labels" || name.ends_with("_label");
}

TargetCounts count_targets(const Inputs& inputs) {
  TargetCounts counts;
  for (const auto& [name, tensor] : inputs) {
    if (is_label(name)) counts[name] = static_cast<double>((tensor != kIgnored).sum().item<int64_t>());
  }
  return counts;
}

Inputs moved_to(const Inputs& inputs, at::Device device) {
  Inputs moved;
  for (const auto& [name, tensor] : inputs) moved[name] = tensor.to(device);
  return moved;
}

}  // namespace colossal::models
