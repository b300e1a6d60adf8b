// SPDX-License-Identifier: Apache-2.0
// What a collective demands of its arguments, checked before anything is issued. Every failure is a
// ShapeError that names the op, the group and the offending value. Private to comm.
//
//   Checker check("all_gather", group);
//   check.tensor(x);
//   dim = check.dim(x, dim);
//
// Thread-safe: const.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

#include "colossal/comm/backend.h"
#include "colossal/comm/group.h"

namespace colossal::comm {

// "float32", "bfloat16", ...: a literal.
std::string_view dtype_name(at::ScalarType type);

class Checker {
 public:
  Checker(std::string_view op, const Group& group) : op_(op), group_(group) {}

  void tensor(const at::Tensor& x,
              std::string_view what = "input") const;  // defined, dense, on the group's device
  void contiguous(const at::Tensor& x, std::string_view what) const;
  int64_t dim(const at::Tensor& x, int64_t dim) const;   // wrapped to 0 .. d - 1
  void divides(const at::Tensor& x, int64_t dim) const;  // the size of `dim` splits into one piece per member
  void member(int index, std::string_view what) const;   // root, to, from
  void reducible(const at::Tensor& x, ReduceOp op) const;
  void times(const at::Tensor& large, std::string_view large_name, const at::Tensor& small,
             std::string_view small_name) const;  // numel(large) = n numel(small), same dtype
  void shape(const at::Tensor& x, std::string_view what, at::IntArrayRef sizes,
             at::ScalarType type) const;  // exactly this
  void apart(const at::Tensor& a, std::string_view a_name, const at::Tensor& b,
             std::string_view b_name) const;  // no byte in common; both contiguous
  [[noreturn]] void fail(const std::string& problem) const;

 private:
  std::string_view op_;
  const Group& group_;
};

}  // namespace colossal::comm
