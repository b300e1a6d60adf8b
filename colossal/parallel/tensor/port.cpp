// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/port.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include "colossal/comm/collectives.h"
#include "colossal/comm/pieces.h"

namespace colossal::parallel {
at::Tensor Flight::wait() {
  work_.wait();
  const at::Tensor result = std::move(result_);  // lives as long as the caller wants
  return finish_ ? finish_(result) : result;
}

Flight Port::start_enter(const at::Tensor& x) const {
  if (kind() != Kind::gather) return Flight(x);
  at::NoGradGuard no_grad;
  const int64_t n = group_.size(), dim = dim_ < 0 ? dim_ + x.dim() : dim_;
  const at::Tensor in = x.detach().contiguous();
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes[0] *= n;
  const at::Tensor out = at::empty(sizes, in.options());
  comm::Work work = comm::all_gather_async(out, in, group_);
  if (dim == 0) return Flight(std::move(work), out, nullptr);
  return Flight(std::move(work), out,
                [n, dim](const at::Tensor& all) { return comm::join_pieces(all, n, dim).contiguous(); });
}

Flight Port::start_leave(const at::Tensor& x) const {
  if (kind() == Kind::none) return Flight(x);
  at::NoGradGuard no_grad;
  if (kind() == Kind::sum) {
    const at::Tensor dense = x.detach().contiguous();
    return Flight(comm::all_reduce_async(dense, group_), dense, nullptr);
  }
  const int64_t n = group_.size(), dim = dim_ < 0 ? dim_ + x.dim() : dim_;
  const at::Tensor in = comm::stack_pieces(x.detach(), n, dim);
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes[0] /= n;
  const at::Tensor out = at::empty(sizes, in.options());
  return Flight(comm::reduce_scatter_async(out, in, group_), out, nullptr);
}

}  // namespace colossal::parallel
