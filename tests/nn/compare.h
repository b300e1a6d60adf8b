// SPDX-License-Identifier: Apache-2.0
// Holds a differentiable function against plain ATen in fp64: value and all gradients.
#pragma once
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <doctest/doctest.h>

namespace colossal::test {

using Tensors = std::vector<at::Tensor>;
using Function = std::function<Tensors(const Tensors&)>;  // several inputs to several outputs

inline at::Generator generator(uint64_t seed) { return at::detail::createCPUGenerator(seed); }
inline at::Tensor normal(at::IntArrayRef shape, uint64_t seed, at::ScalarType dtype = at::kDouble) {
  return at::randn(shape, generator(seed), at::kDouble).to(dtype);
}

// Outputs, then the gradients of all floating inputs, for the same pseudo-random cotangents whatever the dtype.
inline Tensors evaluate(const Function& f, const Tensors& inputs) {
  Tensors leaves;
  for (const auto& t : inputs) leaves.push_back(t.is_floating_point() ? t.detach().requires_grad_() : t);
  Tensors outputs = f(leaves), results;
  at::Tensor total = at::zeros({}, at::kDouble);
  for (size_t i = 0; i < outputs.size(); ++i) {
    total = total + (outputs[i].to(at::kDouble) * normal(outputs[i].sizes(), 1000 + i)).sum();
    results.push_back(outputs[i].detach());
  }
  total.backward();
  for (const auto& t : leaves) {
    if (t.is_floating_point()) results.push_back(t.grad());
  }
  return results;
}

inline double worst_difference(const at::Tensor& a, const at::Tensor& b) {
  REQUIRE(a.defined());
  REQUIRE(b.defined());
  REQUIRE(a.sizes() == b.sizes());
  if (a.numel() == 0) return 0;
  const at::Tensor x = a.to(at::kDouble), y = b.to(at::kDouble);
  const double worst = (x - y).abs().max().item<double>();
  return worst / std::max(1.0, y.abs().max().item<double>());
}

// `inputs` in any dtype; the reference sees them in fp64.
inline void check_same(const Function& ours, const Function& reference, const Tensors& inputs,
                       double tolerance) {
  Tensors wide;
  for (const auto& t : inputs) wide.push_back(t.is_floating_point() ? t.to(at::kDouble) : t);
  const Tensors a = evaluate(ours, inputs), b = evaluate(reference, wide);
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(i);
    CHECK(worst_difference(a[i], b[i]) <= tolerance);
  }
}

// Bit for bit the same results on one thread and on two.
inline void check_threads(const Function& ours, const Tensors& inputs) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors one = evaluate(ours, inputs);
  at::set_num_threads(2);
  const Tensors two = evaluate(ours, inputs);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) {
    CAPTURE(i);
    CHECK(at::equal(one[i], two[i]));
  }
}

struct Precision {
  at::ScalarType dtype;
  double tolerance;
};
inline const std::vector<Precision> kPrecisions{
    {at::kDouble, 1e-12}, {at::kFloat, 3e-5}, {at::kBFloat16, 3e-2}};

}  // namespace colossal::test
