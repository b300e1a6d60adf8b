// SPDX-License-Identifier: Apache-2.0
// The modes of tensor parallelism: which axes they add to the mesh, and who holds what.
//
//   const TensorParallel how{TensorMode::two_d, 4};
//   mesh axes: {"data", 2}, then tensor_axes(how) = {"row", 2}, {"column", 2}
//   const Arrangement who = arrangement(how.mode);
//
// Sources: 1D arXiv 1909.08053, 1D with sequence 2205.05198, 2D 2104.05343, 2.5D 2105.14500, 3D 2105.14450.
// Thread-safe: values and pure functions; no torch.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "colossal/comm/mesh_shape.h"
#include "colossal/nn/placement.h"

namespace colossal::parallel {

enum class TensorMode { none, one_d, one_d_sequence, two_d, two_and_half_d, three_d };

inline constexpr std::string_view kTensorModes[] = {"none", "1d",   "1d-sequence",
                                                    "2d",   "2.5d", "3d"};  // by value
std::optional<TensorMode> tensor_mode(std::string_view name);

struct TensorParallel {
  TensorMode mode = TensorMode::none;
  int64_t size = 1;   // ranks that hold one replica of the model
  int64_t depth = 1;  // 2.5D only: size = depth * q * q
};

// What is wrong with the sizes, with the nearest that would do: "size = 3 is not a square. ..". Empty: nothing.
std::string problem(const TensorParallel& how);

// Outermost first, to be put behind "data". `how` has no problem.
std::vector<comm::Axis> tensor_axes(const TensorParallel& how);

// Who holds what. Logits lie like `inner`, vocabulary in place of hidden.
struct Arrangement {
  nn::Placement stream = {};  // the residual stream [batch, sequence, hidden]
  nn::Placement inner = {};   // after a linear that expands, before one that contracts
  // Of the input dim of a weight. Its output dim lies like the hidden dim of what it writes.
  comm::Axes expand_input = {}, contract_input = {};
  comm::Axes vocabulary_axes =
      {};  // of the rows of an embedding table; its columns lie like the stream's hidden dim
  comm::Axes replica_axes = {};  // copies of all weights, each for its share of the batch (2.5D's depth)
};
Arrangement arrangement(TensorMode mode);

}  // namespace colossal::parallel
