// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/sharded_sums.h"

#include <ATen/Parallel.h>

#include <cstring>
#include <numeric>

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
      tensor::simd::prefetch(x + i);
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

struct Block {
  const float* floats = nullptr;  // one of the two
  const double* doubles = nullptr;
  int64_t count = 0;
  double sum() const {
    double result = 0;
    if (floats != nullptr) {
      tensor::simd::run<SumOfSquares>(floats, count, &result);
    } else {
      tensor::simd::run<SumOfSquares>(doubles, count, &result);
    }
    return result;
  }
};

void append_blocks(const at::Tensor& x, std::vector<Block>& blocks) {
  if (x.is_meta()) return;
  for (int64_t begin = 0; begin < x.numel(); begin += kBlock) {
    Block& block = blocks.emplace_back();
    block.count = std::min(kBlock, x.numel() - begin);
    if (x.scalar_type() == at::kFloat) {
      block.floats = x.const_data_ptr<float>() + begin;
    } else {
      block.doubles = x.const_data_ptr<double>() + begin;
    }
  }
}

}  // namespace

at::Tensor sum_of_squares(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> kept, others;
  std::vector<Block> blocks;
  for (const at::Tensor& x : tensors) {
    if ((x.is_cpu() || x.is_meta()) && (x.scalar_type() == at::kFloat || x.scalar_type() == at::kDouble)) {
      kept.push_back(x.detach().contiguous());
      append_blocks(kept.back(), blocks);
    } else {
      others.push_back(at::linalg_vector_norm(x.detach(), 2, {}, false, at::kDouble).square());
    }
  }
  std::vector<double> sums(blocks.size());
  at::parallel_for(0, static_cast<int64_t>(blocks.size()), 4, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) sums[b] = blocks[b].sum();
  });
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0);
  if (others.empty()) return at::scalar_tensor(total, at::kDouble);
  return at::stack(others).sum() + total;
}

at::Tensor sum_of_squares(const at::Tensor& x) { return sum_of_squares(std::vector<at::Tensor>{x}); }

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
