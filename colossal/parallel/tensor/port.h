// SPDX-License-Identifier: Apache-2.0
// How an operand of a distributed product meets its group: what happens to it before the product, and its adjoint after.
//
//   const Port input = Port::gather(group, 0);
//   at::Tensor whole = input.enter(part);          // all_gather along dim 0
//   at::Tensor grad = input.leave(grad_of_whole);  // reduce_scatter along dim 0
//
//   kind      enter        leave
//   none      as it is     as it is
//   sum       as it is     all_reduce        (Megatron's f; the other way round its g)
//   gather    all_gather   reduce_scatter
//
// A product's inputs enter in forward and their gradients leave in backward; its output leaves in forward, and the gradient of that
// enters in backward. No autograd here. Thread safety: collective over the group.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

#include "colossal/comm/group.h"
#include "colossal/comm/work.h"

namespace colossal::parallel {

// A collective under way and the tensor that it brings.
class Flight {
 public:
  explicit Flight(at::Tensor ready) : result_(std::move(ready)) {}
  Flight(comm::Work work, at::Tensor buffer, std::function<at::Tensor(const at::Tensor&)> finish)
      : work_(std::move(work)), result_(std::move(buffer)), finish_(std::move(finish)) {}
  at::Tensor wait();  // once

 private:
  comm::Work work_;
  at::Tensor result_;
  std::function<at::Tensor(const at::Tensor&)> finish_;
};

class Port {
 public:
  enum class Kind { none, sum, gather };
  Port() = default;  // none
  static Port sum(comm::Group group) { return Port(Kind::sum, std::move(group), 0); }
  // Pieces are joined, and sums cut, along `dim`; negative: from the end.
  static Port gather(comm::Group group, int64_t dim) { return Port(Kind::gather, std::move(group), dim); }

  Kind kind() const { return group_.size() == 1 ? Kind::none : kind_; }
  const comm::Group& group() const { return group_; }
  int64_t dim() const { return dim_; }

  Flight start_enter(const at::Tensor& x) const;
  Flight start_leave(const at::Tensor& x) const;  // may write to x where the port sums
  at::Tensor enter(const at::Tensor& x) const { return start_enter(x).wait(); }
  at::Tensor leave(const at::Tensor& x) const { return start_leave(x).wait(); }

 private:
  Port(Kind kind, comm::Group group, int64_t dim) : kind_(kind), group_(std::move(group)), dim_(dim) {}

  Kind kind_ = Kind::none;
  comm::Group group_;
  int64_t dim_ = 0;
};

}  // namespace colossal::parallel
