// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/tensor/summa.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <array>

#include "colossal/comm/collectives.h"
#include "colossal/tensor/matmul.h"

namespace colossal::parallel {
namespace {

// The pieces of all members of a group in turn, the next one already on its way.
class Panels {
 public:
  Panels(const at::Tensor& own, const comm::Group& group) : own_(own), group_(group) { start(); }
  at::Tensor next() {
    works_[current_].wait();
    at::Tensor panel = buffers_[current_];
    current_ ^= 1;
    start();
    return panel;
  }

 private:
  void start() {
    if (begun_ == group_.size()) return;
    const int root = begun_++, slot = root % 2;
    buffers_[slot].reset();  // never a third panel
    buffers_[slot] = root == group_.index() ? own_ : at::empty_like(own_);
    works_[slot] = comm::broadcast_async(buffers_[slot], group_, root);
  }

  const at::Tensor& own_;
  const comm::Group& group_;
  std::array<at::Tensor, 2> buffers_;
  std::array<comm::Work, 2> works_;
  int begun_ = 0;
  int current_ = 0;
};

// Partial sums whose totals belong to one member each; a sum travels while the next one is formed.
class Totals {
 public:
  explicit Totals(const comm::Group& group) : group_(group) {}
  void add(int member, const at::Tensor& partial) {
    work_.wait();
    under_way_ = partial;
    if (member == group_.index()) own_ = partial;
    work_ = comm::reduce_async(partial, group_, member);
  }
  at::Tensor own() {
    work_.wait();
    return own_;
  }

 private:
  const comm::Group& group_;
  at::Tensor under_way_, own_;
  comm::Work work_;
};

}  // namespace

at::Tensor summa_forward(const at::Tensor& x, const at::Tensor& w, const SummaGrid& grid) {
  Panels xs(x, grid.along_row), ws(w, grid.along_column);
  const at::ScalarType wide = x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const int q = grid.along_row.size();
  if (q == 1) return tensor::matmul_forward(x, w);
  const at::Tensor total = at::empty({x.size(0), w.size(0)}, x.options().dtype(wide));
  const at::Tensor product = at::empty_like(total);
  for (int l = 0; l < q; ++l) {
    const at::Tensor panel = xs.next();
    tensor::matmul_forward_wide(l == 0 ? total : product, panel, ws.next());
    if (l > 0) total.add_(product);
  }
  return total.to(x.scalar_type());
}

at::Tensor summa_input_grad(const at::Tensor& dy, const at::Tensor& w, const SummaGrid& grid) {
  Panels ws(w, grid.along_column);
  Totals totals(grid.along_row);
  for (int l = 0; l < grid.along_row.size(); ++l) totals.add(l, tensor::matmul_input_grad(dy, ws.next()));
  return totals.own();
}

at::Tensor summa_weight_grad(const at::Tensor& dy, const at::Tensor& x, at::ScalarType result,
                             const SummaGrid& grid) {
  Panels xs(x, grid.along_row);
  Totals totals(grid.along_column);
  for (int l = 0; l < grid.along_row.size(); ++l)
    totals.add(l, tensor::matmul_weight_grad(dy, xs.next(), result));
  return totals.own();
}

}  // namespace colossal::parallel
