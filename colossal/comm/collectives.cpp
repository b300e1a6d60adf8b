// SPDX-License-Identifier: Apache-2.0
// Reductions, and what leaves every member with the same: all_reduce, reduce, reduce_scatter, all_gather, broadcast.
#include "colossal/comm/collectives.h"

#include "colossal/comm/checks.h"
#include "colossal/comm/issue.h"
#include "colossal/comm/pieces.h"

namespace colossal::comm {

namespace {

Work::State issue_all_reduce(const at::Tensor& x, const Group& group, ReduceOp op) {
  const int64_t n = group.size();
  return on_contiguous(x, [&](const at::Tensor& y) {
    return issue("all_reduce", group, {y, 2 * (n - 1) * bytes(y) / n}, {y},
                 [&](Backend& b) { return b.all_reduce(y, op); });
  });
}

Work::State issue_all_gather(const at::Tensor& out, const at::Tensor& in, const Group& group) {
  return issue("all_gather", group, {in, (group.size() - 1) * bytes(in)}, {out, in},
               [&](Backend& b) { return b.all_gather(out, in); });
}

Work::State issue_reduce_scatter(const at::Tensor& out, const at::Tensor& in, const Group& group,
                                 ReduceOp op) {
  return issue("reduce_scatter", group, {in, (group.size() - 1) * bytes(out)}, {out, in},
               [&](Backend& b) { return b.reduce_scatter(out, in, op); });
}

// Place of this rank in the chain that starts at `root`: 0 for the root.
int chain_place(const Group& group, int root) { return (group.index() - root + group.size()) % group.size(); }

Work::State issue_broadcast(const at::Tensor& x, const Group& group, int root) {
  const bool last = chain_place(group, root) == group.size() - 1;
  return on_contiguous(x, [&](const at::Tensor& y) {
    return issue("broadcast", group, {y, last ? 0 : bytes(y)}, {y},
                 [&](Backend& b) { return b.broadcast(y, root); });
  });
}

Work::State issue_reduce(const at::Tensor& x, const Group& group, int root, ReduceOp op) {
  const bool last = chain_place(group, root) == 0;
  return on_contiguous(x, [&](const at::Tensor& y) {
    return issue("reduce", group, {y, last ? 0 : bytes(y)}, {y},
                 [&](Backend& b) { return b.reduce(y, root, op); });
  });
}

void check_all_reduce(std::string_view name, const at::Tensor& x, const Group& group, ReduceOp op) {
  const Checker check(name, group);
  check.tensor(x);
  check.reducible(x, op);
}

void check_raw(std::string_view name, const at::Tensor& large, std::string_view large_name,
               const at::Tensor& small, std::string_view small_name, const Group& group) {
  const Checker check(name, group);
  check.tensor(large, large_name);
  check.tensor(small, small_name);
  check.contiguous(large, large_name);
  check.contiguous(small, small_name);
  check.times(large, large_name, small, small_name);
}

}  // namespace

void all_reduce(const at::Tensor& x, const Group& group, ReduceOp op) {
  check_all_reduce("all_reduce", x, group, op);
  if (group.size() > 1) complete(issue_all_reduce(x, group, op));
}

Work all_reduce_async(const at::Tensor& x, const Group& group, ReduceOp op) {
  check_all_reduce("all_reduce", x, group, op);
  return group.size() == 1 ? Work() : in_background(issue_all_reduce(x, group, op));
}

at::Tensor all_gather(const at::Tensor& x, const Group& group, int64_t dim) {
  const Checker check("all_gather", group);
  check.tensor(x);
  dim = check.dim(x, dim);
  if (group.size() == 1) return x;
  const at::Tensor in = x.detach().contiguous();
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes[0] *= group.size();
  const at::Tensor out = at::empty(sizes, in.options());
  complete(issue_all_gather(out, in, group));
  return join_pieces(out, group.size(), dim);
}

Work all_gather_async(const at::Tensor& out, const at::Tensor& in, const Group& group) {
  check_raw("all_gather", out, "output", in, "input", group);
  if (group.size() == 1) return keep_to_itself(out, in);
  return in_background(issue_all_gather(out.detach(), in.detach(), group));
}

at::Tensor reduce_scatter(const at::Tensor& x, const Group& group, int64_t dim, ReduceOp op) {
  const Checker check("reduce_scatter", group);
  check.tensor(x);
  check.reducible(x, op);
  dim = check.dim(x, dim);
  check.divides(x, dim);
  if (group.size() == 1) return x;
  const at::Tensor in = stack_pieces(x.detach(), group.size(), dim);
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[dim] /= group.size();
  at::Tensor out = at::empty(sizes, in.options());
  complete(issue_reduce_scatter(out, in, group, op));
  return out;
}

Work reduce_scatter_async(const at::Tensor& out, const at::Tensor& in, const Group& group, ReduceOp op) {
  check_raw("reduce_scatter", in, "input", out, "output", group);
  Checker("reduce_scatter", group).reducible(in, op);
  if (group.size() == 1) return keep_to_itself(out, in);
  return in_background(issue_reduce_scatter(out.detach(), in.detach(), group, op));
}

void broadcast(const at::Tensor& x, const Group& group, int root) {
  const Checker check("broadcast", group);
  check.tensor(x);
  check.member(root, "root");
  if (group.size() > 1) complete(issue_broadcast(x, group, root));
}

Work broadcast_async(const at::Tensor& x, const Group& group, int root) {
  const Checker check("broadcast", group);
  check.tensor(x);
  check.member(root, "root");
  return group.size() == 1 ? Work() : in_background(issue_broadcast(x, group, root));
}

void reduce(const at::Tensor& x, const Group& group, int root, ReduceOp op) {
  check_all_reduce("reduce", x, group, op);
  Checker("reduce", group).member(root, "root");
  if (group.size() > 1) complete(issue_reduce(x, group, root, op));
}

Work reduce_async(const at::Tensor& x, const Group& group, int root, ReduceOp op) {
  check_all_reduce("reduce", x, group, op);
  Checker("reduce", group).member(root, "root");
  return group.size() == 1 ? Work() : in_background(issue_reduce(x, group, root, op));
}

}  // namespace colossal::comm
