// SPDX-License-Identifier: Apache-2.0
// What models take: tensors by the names that transformers gives them, and the number of targets of each kind of label.
//
//   Inputs batch = {{"input_ids", ids}, {"attention_mask", mask}, {"labels", next_tokens(ids)}};
//   at::Tensor loss = model->loss(batch, count_targets(batch));      // one rank; else the counts of all ranks are summed first
//
// Thread-safe: values and pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

namespace colossal::models {

// What a model is trained for; its family says it (family.h).
enum class Task { causal_language, masked_language, image_classification };

using Inputs = std::map<std::string, at::Tensor>;
using Outputs = std::map<std::string, at::Tensor>;
// By the name of the labels: how many of them are targets (not kIgnored) in the global batch.
using TargetCounts = std::map<std::string, double>;

inline constexpr int64_t kIgnored = -100;  // a label that is no target

struct InputInfo {
  enum class Kind {
    tokens,       // int64 [b, s]
    mask,         // int64 or bool [b, s]: 0 = padding; may be left out
    token_types,  // int64 [b, s]; may be left out: all 0
    pixels,       // floating [b, channels, height, width]
    labels,       // int64 [b, s] or [b]
  } kind = Kind::tokens;
  std::string name = {};
  int64_t num_values = 0;     // integers are below this
  bool per_sequence = false;  // labels: [b]
};

// The one of this name; ShapeError that lists the names that are there.
const at::Tensor& input(const Inputs& inputs, const std::string& name);
// The one of this name, or undefined.
at::Tensor optional_input(const Inputs& inputs, const std::string& name);
// ShapeError unless int64 [batch, sequence].
void check_ids(const at::Tensor& ids);
// Undefined without "attention_mask", else bool [b, s].
at::Tensor key_mask(const Inputs& inputs);

// Of all inputs whose name says that they are labels ("label", "labels", "next_sentence_label"), on this rank.
TargetCounts count_targets(const Inputs& inputs);
bool is_label(const std::string& name);

// The same on another device.
Inputs moved_to(const Inputs& inputs, at::Device device);

}  // namespace colossal::models
