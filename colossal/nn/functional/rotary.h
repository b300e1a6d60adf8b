// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al., arXiv 2104.09864) in the halves convention of GPT-NeoX and Llama:
// element i turns with i + d/2.
//
//   RotaryTable table = functional::rotary_table(inverse_frequencies, max_positions, at::kFloat, device);
//   q = functional::apply_rotary(q, table, offset);
//   // q: [batch, sequence, heads, d]; its position 0 is number `offset`
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include <span>

namespace colossal::nn::functional {

struct RotaryTable {
  at::Tensor cos;  // [positions, d / 2], fp64 for fp64 models, else fp32
  at::Tensor sin;
};

// Angles are position * inverse_frequencies[i], formed in fp64. `dtype`: that of the activations.
RotaryTable rotary_table(std::span<const double> inverse_frequencies, int64_t positions, at::ScalarType dtype,
                         at::Device device);

// x: [batch, sequence, heads, d], any strides with a dense last dimension. ShapeError if the table is too
// short.
at::Tensor apply_rotary(const at::Tensor& x, const RotaryTable& table, int64_t offset = 0);

}  // namespace colossal::nn::functional
