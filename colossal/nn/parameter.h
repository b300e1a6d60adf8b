// SPDX-License-Identifier: Apache-2.0
// A parameter is (name, logical shape, local tensor, layout). Everything that treats parameters alike - initialisation, gradient
// synchronisation, norms, ZeRO, checkpoints, the planner - needs nothing else.
//
//   for (const nn::Parameter& p : nn::parameters(model, mesh)) fmt::print("{} {}\n", p.name, p.layout().describe());
//
// Thread-safe: values; the tensor handle is shared with the module.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/tensor/layout.h"

namespace torch::nn {
class Module;
}

namespace colossal::nn {

// How the logical tensor starts. Drawn by global element index, keyed by the parameter's name.
struct Init {
  enum class Kind { zeros, ones, normal, uniform, keep } kind = Kind::zeros;
  double scale = 0;  // standard deviation, or half width
  static Init zeros() { return {Kind::zeros, 0}; }
  static Init ones() { return {Kind::ones, 0}; }
  static Init normal(double stddev) { return {Kind::normal, stddev}; }
  static Init uniform(double half_width) { return {Kind::uniform, half_width}; }
  static Init keep() { return {Kind::keep, 0}; }  // as its own constructor left it: modules that are not ours
};

// What a layer says of one of its parameters when it registers it.
struct ParameterSpec {
  // Logical shape on the mesh. The local tensor may have another shape with the same elements in the same order: a fused q/k/v
  // weight is logically [3, heads, head_dim, in], locally a matrix [3 * .., in].
  tensor::Layout layout;
  Init init = {};
  bool decay = true;  // weight decay applies (false for biases and norm weights)
  // Non-data axes over which the local gradient is a partial sum and must be reduced before the step.
  comm::Axes sum_axes = {};
};

struct Parameter {
  std::string name;   // dotted path in the module tree, "blocks.0.attention.query.weight"
  at::Tensor tensor;  // local, requires grad
  ParameterSpec spec;
  const tensor::Layout& layout() const { return spec.layout; }
};

// All parameters of a module in registration order, each tied tensor once (under its first name). Layers derived from nn::Layer tell
// their specs; parameters of any other torch module count as replicated on the whole mesh (decay where ndim >= 2) and keep the
// values they have (the caller broadcasts them).
std::vector<Parameter> parameters(const torch::nn::Module& module, const comm::Mesh& mesh);

// Fills the local tensors from (seed, name): the same logical values in every layout, zeros in its padding.
void initialize(const std::vector<Parameter>& parameters, uint64_t seed, int rank);

}  // namespace colossal::nn
