// SPDX-License-Identifier: Apache-2.0
// Between the logical tensor of a parameter and the tensors of a foreign file: parts and transposes.
//
//   at::Tensor w = to_foreign(full, foreign);               // [3, heads, d, h] -> the file's [h, 3 * heads * d]
//   read_foreign(weights, name, foreign, logical, slice, into);
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "colossal/checkpoint/safetensors_set.h"
#include "colossal/models/foreign_weights.h"
#include "colossal/tensor/layout.h"

namespace colossal::checkpoint {

// `full`: the whole logical tensor. Returns what the file holds, contiguous, dtype kept.
at::Tensor to_foreign(const at::Tensor& full, const models::ForeignTensor& foreign);

// Copies into `into` (of shape slice.size: this rank's slice of the logical tensor) what the file tensor `name` gives to it; reads no
// more of the file than that. Elements of other parts are left alone.
void read_foreign(const SafetensorsSet& weights, const std::string& name,
                  const models::ForeignTensor& foreign, const Shape& logical, const Slice& slice,
                  const at::Tensor& into);

}  // namespace colossal::checkpoint
