// SPDX-License-Identifier: Apache-2.0
// all_reduce, reduce_scatter and reduce over a wire: every member sends each other member the pieces that that one adds up, which
// moves the fewest bytes (c10d's own reduce_scatter is a full all-reduce) in the fewest steps, and adds in index order.
//
//   Reductions reductions(wire);
//   reductions.all_reduce({.sequence = n, .op = kAllReduce}, x, ReduceOp::sum);
//
// Tensors are contiguous. Every function returns when they may be used again. One thread at a time.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstddef>
#include <vector>

#include "colossal/comm/backends/gloo/wire.h"

namespace colossal::comm {

class Reductions {
 public:
  explicit Reductions(Wire& wire) : wire_(wire) {}

  void all_reduce(Header header, const at::Tensor& x, ReduceOp op);  // in place
  void reduce_scatter(Header header, const at::Tensor& out, const at::Tensor& in,
                      ReduceOp op);                                        // in: n x out
  void reduce(Header header, const at::Tensor& x, int root, ReduceOp op);  // in place, valid on root

 private:
  struct Plan;
  class Pipeline;
  void run(const Plan& plan);
  void run_at_once(const Plan& plan);

  Wire& wire_;
  std::vector<std::byte> room_;  // what arrives stays here until it is added
};

}  // namespace colossal::comm
