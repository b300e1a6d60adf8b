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

std::vector<Panels> panels_of(const std::vector<at::Tensor>& own, const comm::Group& group) {
  std::vector<Panels> all;
  for (const at::Tensor& each : own) all.emplace_back(each, group);
  return all;
}

}  // namespace

std::vector<at::Tensor> summa_forward(const at::Tensor& x, const std::vector<at::Tensor>& ws,
                                      const SummaGrid& grid) {
  std::vector<at::Tensor> totals;
  const int q = grid.along_row.size();
  if (q == 1) {
    for (const at::Tensor& w : ws) totals.push_back(tensor::matmul_forward(x, w));
    return totals;
  }
  Panels xs(x, grid.along_row);
  auto panels = panels_of(ws, grid.along_column);
  for (int l = 0; l < q; ++l) {
    const at::Tensor panel = xs.next();
    for (size_t i = 0; i < ws.size(); ++i) {
      const at::Tensor product = tensor::matmul_forward_wide(panel, panels[i].next());
      if (l == 0) totals.push_back(product);
      if (l > 0) totals[i].add_(product);
    }
  }
  for (at::Tensor& total : totals) total = total.to(x.scalar_type());
  return totals;
}

at::Tensor summa_input_grad(const std::vector<at::Tensor>& dys, const std::vector<at::Tensor>& ws,
                            const SummaGrid& grid) {
  auto panels = panels_of(ws, grid.along_column);
  Totals totals(grid.along_row);
  for (int l = 0; l < grid.along_row.size(); ++l) {
    at::Tensor sum;
    for (size_t i = 0; i < dys.size(); ++i) {
      const at::Tensor part = tensor::matmul_input_grad(dys[i], panels[i].next());
      sum = sum.defined() ? sum.add_(part) : part;
    }
    totals.add(l, sum);
  }
  return totals.own();
}

std::vector<at::Tensor> summa_weight_grads(const std::vector<at::Tensor>& dys, const at::Tensor& x,
                                           const std::vector<at::ScalarType>& results,
                                           const SummaGrid& grid) {
  Panels xs(x, grid.along_row);
  std::vector<Totals> totals;
  for (size_t i = 0; i < dys.size(); ++i) totals.emplace_back(grid.along_column);
  for (int l = 0; l < grid.along_row.size(); ++l) {
    const at::Tensor panel = xs.next();
    for (size_t i = 0; i < dys.size(); ++i)
      totals[i].add(l, tensor::matmul_weight_grad(dys[i], panel, results[i]));
  }
  std::vector<at::Tensor> own;
  for (Totals& total : totals) own.push_back(total.own());
  return own;
}

}  // namespace colossal::parallel
