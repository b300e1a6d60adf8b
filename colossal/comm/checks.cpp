// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/checks.h"

#include <ATen/MemoryOverlap.h>
#include <fmt/ranges.h>

#include "colossal/base/error.h"
#include "colossal/comm/group_state.h"

namespace colossal::comm {

std::string_view dtype_name(at::ScalarType type) {
  switch (type) {
    case at::kDouble: return "float64";
    case at::kFloat: return "float32";
    case at::kHalf: return "float16";
    case at::kBFloat16: return "bfloat16";
    case at::kLong: return "int64";
    case at::kInt: return "int32";
    case at::kShort: return "int16";
    case at::kChar: return "int8";
    case at::kByte: return "uint8";
    case at::kBool: return "bool";
    default: return c10::toString(type);
  }
}

void Checker::fail(const std::string& problem) const {
  throw ShapeError(fmt::format("{} over group \"{}\": {}", op_, group_.name(), problem));
}

void Checker::tensor(const at::Tensor& x, std::string_view what) const {
  if (!x.defined()) fail(fmt::format("{} is an undefined tensor.", what));
  if (x.layout() != at::kStrided) fail(fmt::format("{} is not a dense tensor. Call to_dense() first.", what));
  if (group_.size() == 1) return;
  const at::Device device = group_.state().device;
  if (x.device().type() != device.type()) {
    fail(fmt::format("{} is on {}. This group works on {}: move it there first.", what, x.device().str(),
                     device.str()));
  }
}

void Checker::contiguous(const at::Tensor& x, std::string_view what) const {
  if (x.is_contiguous()) return;
  fail(fmt::format("{} of shape [{}] is not contiguous. Call contiguous() first.", what,
                   fmt::join(x.sizes(), ", ")));
}

int64_t Checker::dim(const at::Tensor& x, int64_t dim) const {
  const int64_t n = x.dim();
  if (n == 0) fail("a scalar has no dim to work along. Use view(1).");
  if (dim < -n || dim >= n)
    fail(fmt::format("dim = {} of a {}-d tensor. Allowed: {} to {}.", dim, n, -n, n - 1));
  return dim < 0 ? dim + n : dim;
}

void Checker::divides(const at::Tensor& x, int64_t dim) const {
  const int64_t size = x.size(dim);
  const int64_t n = group_.size();
  if (size % n == 0) return;
  fail(fmt::format(
      "size {} of dim {} (shape [{}]) does not divide into {} equal pieces. Nearest sizes: {} and {}.", size,
      dim, fmt::join(x.sizes(), ", "), n, size / n * n, (size / n + 1) * n));
}

void Checker::member(int index, std::string_view what) const {
  if (index >= 0 && index < group_.size()) return;
  fail(fmt::format("{} = {}. Allowed: an index within the group, 0 to {}.", what, index, group_.size() - 1));
}

void Checker::reducible(const at::Tensor& x, ReduceOp op) const {
  const std::string_view type = dtype_name(x.scalar_type());
  switch (x.scalar_type()) {
    case at::kDouble:
    case at::kFloat:
    case at::kHalf:
    case at::kBFloat16: return;
    case at::kLong:
    case at::kInt:
    case at::kShort:
    case at::kChar:
    case at::kByte:
      if (op == ReduceOp::avg) {
        fail(fmt::format("the average of {} is not defined. Allowed: sum, max, min; or convert to float32.",
                         type));
      }
      return;
    case at::kBool:
      if (op == ReduceOp::sum || op == ReduceOp::avg) {
        fail("bool has no sum or average. Allowed: max (any) and min (all); or convert to int64.");
      }
      return;
    default:
      fail(fmt::format("{} cannot be reduced. Convert to float32 or bfloat16, or move it with all_gather.",
                       type));
  }
}

void Checker::times(const at::Tensor& large, std::string_view large_name, const at::Tensor& small,
                    std::string_view small_name) const {
  if (large.scalar_type() != small.scalar_type()) {
    fail(fmt::format("{} is {} and {} is {}. They must have one dtype.", large_name,
                     dtype_name(large.scalar_type()), small_name, dtype_name(small.scalar_type())));
  }
  const int64_t n = group_.size();
  if (large.numel() == n * small.numel()) return;
  fail(fmt::format("{} has {} elements (shape [{}]) and {} has {} (shape [{}]). {} must have {} x {} = {}.",
                   large_name, large.numel(), fmt::join(large.sizes(), ", "), small_name, small.numel(),
                   fmt::join(small.sizes(), ", "), large_name, n, small.numel(), n * small.numel()));
}

void Checker::shape(const at::Tensor& x, std::string_view what, at::IntArrayRef sizes,
                    at::ScalarType type) const {
  if (x.sizes() == sizes && x.scalar_type() == type) return;
  fail(fmt::format("{} is {} of shape [{}]. It must be {} of shape [{}].", what, dtype_name(x.scalar_type()),
                   fmt::join(x.sizes(), ", "), dtype_name(type), fmt::join(sizes, ", ")));
}

void Checker::apart(const at::Tensor& a, std::string_view a_name, const at::Tensor& b,
                    std::string_view b_name) const {
  if (at::get_overlap_status(a, b) == at::MemOverlapStatus::No) return;
  fail(fmt::format("{} and {} share memory. Pass tensors that do not overlap.", a_name, b_name));
}

}  // namespace colossal::comm
