// SPDX-License-Identifier: Apache-2.0
// Sums over whole logical tensors from local pieces: one all_reduce for all tensors that the same axes shard.
//
//   ShardedSums sums(mesh);
//   size_t w = sums.add(sum_of_squares(weight), layout);   ...   sums.reduce();   double norm = std::sqrt(sums[w]);
//
// Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/tensor/layout.h"

namespace colossal::optim {

// Sum of the squares of all elements, 0-d fp64 on the tensor's device. On the CPU independent of the number of threads.
at::Tensor sum_of_squares(const at::Tensor& x);
// Over several tensors, in one parallel region.
at::Tensor sum_of_squares(const std::vector<at::Tensor>& tensors);

// Adds up `x` over the mesh axes `axes` in place.
void sum_over(const at::Tensor& x, const tensor::Axes& axes, const comm::Mesh& mesh);

class ShardedSums {
 public:
  explicit ShardedSums(comm::Mesh mesh) : mesh_(std::move(mesh)) {}
  // `local`: 0-d fp64, this rank's part for a tensor of this layout. All ranks add the same tensors in the same order.
  size_t add(at::Tensor local, const tensor::Layout& layout);
  void reduce();
  double operator[](size_t index) const { return totals_[index]; }

 private:
  comm::Mesh mesh_;
  std::vector<at::Tensor> locals_;
  std::map<tensor::Axes, std::vector<size_t>> by_axes_;
  std::vector<double> totals_;
};

}  // namespace colossal::optim
