// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/fold.h"

#include <ATen/ATen.h>

namespace colossal::comm {

namespace {

void combine(at::Tensor& into, const at::Tensor& part, ReduceOp op) {
  switch (op) {
    case ReduceOp::sum:
    case ReduceOp::avg: into.add_(part); break;
    case ReduceOp::max: at::maximum_out(into, into, part); break;
    case ReduceOp::min: at::minimum_out(into, into, part); break;
  }
}

}  // namespace

void fold(const at::Tensor& out, const std::vector<at::Tensor>& parts, ReduceOp op, int64_t members) {
  const bool sums = op == ReduceOp::sum || op == ReduceOp::avg;
  const bool narrow = out.scalar_type() == at::kHalf || out.scalar_type() == at::kBFloat16;
  const bool widen = sums && narrow && (parts.size() > 2 || op == ReduceOp::avg);
  const bool aliased = std::any_of(parts.begin() + 1, parts.end(), [&](const at::Tensor& part) {
    return part.const_data_ptr() == out.const_data_ptr();
  });
  at::Tensor sum;
  if (widen) {
    sum = parts[0].to(at::kFloat);
  } else if (parts[0].const_data_ptr() == out.const_data_ptr()) {
    sum = out;
  } else if (parts.size() == 2 && op == ReduceOp::sum) {
    at::Tensor to = out;
    at::add_out(to, parts[0], parts[1]);
    return;
  } else {
    sum = aliased ? parts[0].clone() : at::Tensor(out).copy_(parts[0]);
  }
  for (size_t i = 1; i < parts.size(); ++i) combine(sum, parts[i], op);
  if (op == ReduceOp::avg) sum.div_(members);
  if (sum.const_data_ptr() != out.const_data_ptr()) out.copy_(sum);
}

}  // namespace colossal::comm
