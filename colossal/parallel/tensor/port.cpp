// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/port.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include "colossal/comm/collectives.h"

namespace colossal::parallel {
namespace {

// [n d0, ..] of stacked pieces -> pieces joined along `dim`.
at::Tensor joined(const at::Tensor& stacked, int64_t n, int64_t dim) {
  std::vector<int64_t> sizes = stacked.sizes().vec();
  sizes[0] /= n;
  std::vector<int64_t> pieces = sizes;
  pieces.insert(pieces.begin(), n);
  sizes[dim] *= n;
  return stacked.view(pieces).movedim(0, dim).reshape(sizes).contiguous();
}

// The inverse: pieces along `dim` stacked along dim 0.
at::Tensor stacked(const at::Tensor& x, int64_t n, int64_t dim) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[dim] /= n;
  std::vector<int64_t> pieces = sizes;
  pieces.insert(pieces.begin() + dim, n);
  sizes[0] *= n;
  return x.reshape(pieces).movedim(dim, 0).reshape(sizes).contiguous();
}

}  // namespace

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
  return Flight(std::move(work), out, [n, dim](const at::Tensor& all) { return joined(all, n, dim); });
}

Flight Port::start_leave(const at::Tensor& x) const {
  if (kind() == Kind::none) return Flight(x);
  at::NoGradGuard no_grad;
  if (kind() == Kind::sum) {
    const at::Tensor dense = x.detach().contiguous();
    return Flight(comm::all_reduce_async(dense, group_), dense, nullptr);
  }
  const int64_t n = group_.size(), dim = dim_ < 0 ? dim_ + x.dim() : dim_;
  const at::Tensor in = dim == 0 ? x.detach().contiguous() : stacked(x.detach(), n, dim);
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes[0] /= n;
  const at::Tensor out = at::empty(sizes, in.options());
  return Flight(comm::reduce_scatter_async(out, in, group_), out, nullptr);
}

}  // namespace colossal::parallel
