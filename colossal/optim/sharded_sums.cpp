// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/sharded_sums.h"

#include <ATen/Parallel.h>

#include <cstring>

#include "colossal/comm/collectives.h"
#include "colossal/tensor/simd.h"

namespace colossal::optim {
namespace {

constexpr int64_t kBlock = 8192;  // summed in one order whatever the number of threads

using EightFloats = float __attribute__((vector_size(32)));

// Sixteen running sums, added up at the end: one order of additions on every processor.
struct SumOfSquares {
  template <typename T>
  COLOSSAL_INLINE static void run(const T* x, int64_t n, double* result) {
    using Doubles = tensor::simd::Double;
    using Eight = std::conditional_t<std::is_same_v<T, float>, EightFloats, Doubles>;
    Doubles even{}, odd{};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      Eight first, second;
      std::memcpy(&first, x + i, sizeof first);
      std::memcpy(&second, x + i + 8, sizeof second);
      const Doubles a = __builtin_convertvector(first, Doubles), b = __builtin_convertvector(second, Doubles);
      even += a * a;
      odd += b * b;
    }
    double sum = tensor::simd::horizontal_sum(even + odd);
    for (; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    *result = sum;
  }
};

template <typename T>
double sum_on_cpu(const T* x, int64_t n) {
  std::vector<double> blocks((n + kBlock - 1) / kBlock);
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      tensor::simd::run<SumOfSquares>(x + b * kBlock, std::min(kBlock, n - b * kBlock), &blocks[b]);
    }
  });
  double total = 0;
  for (double block : blocks) total += block;
  return total;
}

}  // namespace

at::Tensor sum_of_squares(const at::Tensor& x) {
  const bool known = x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble;
  if (!x.is_cpu() || !known) return at::linalg_vector_norm(x.detach(), 2, {}, false, at::kDouble).square();
  const at::Tensor y = x.detach().contiguous();
  const double sum = x.scalar_type() == at::kFloat ? sum_on_cpu(y.const_data_ptr<float>(), y.numel())
                                                   : sum_on_cpu(y.const_data_ptr<double>(), y.numel());
  return at::scalar_tensor(sum, at::kDouble);
}

void sum_over(const at::Tensor& x, const tensor::Axes& axes, const comm::Mesh& mesh) {
  tensor::Axes wide;
  for (const std::string& axis : axes) {
    if (mesh.axis_size(axis) > 1) wide.push_back(axis);
  }
  if (!wide.empty()) comm::all_reduce(x, mesh.group(wide));
}

size_t ShardedSums::add(at::Tensor local, const tensor::Layout& layout) {
  by_axes_[layout.sharded_axes()].push_back(locals_.size());
  locals_.push_back(std::move(local));
  return locals_.size() - 1;
}

void ShardedSums::reduce() {
  totals_.resize(locals_.size());
  for (const auto& [axes, indices] : by_axes_) {
    std::vector<at::Tensor> parts;
    for (size_t i : indices) parts.push_back(locals_[i]);
    at::Tensor stacked = at::stack(parts);
    sum_over(stacked, axes, mesh_);
    stacked = stacked.cpu();
    for (size_t k = 0; k < indices.size(); ++k) totals_[indices[k]] = stacked.const_data_ptr<double>()[k];
  }
}

}  // namespace colossal::optim
