// SPDX-License-Identifier: Apache-2.0
// What moves pieces between members and computes nothing: all_to_all, gather, scatter, send and recv, barrier.
#include <fmt/ranges.h>

#include <numeric>

#include "colossal/comm/checks.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/issue.h"
#include "colossal/comm/pieces.h"

namespace colossal::comm {

namespace {

using Rows = std::vector<int64_t>;

int64_t total(const Rows& rows) { return std::accumulate(rows.begin(), rows.end(), int64_t{0}); }

std::vector<int64_t> with_rows(const at::Tensor& x, int64_t num_rows) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[0] = num_rows;
  return sizes;
}

void check_rows(const Checker& check, std::string_view what, const Rows& rows, const Group& group) {
  if (static_cast<int>(rows.size()) != group.size()) {
    check.fail(fmt::format("{} has {} counts for {} members.", what, rows.size(), group.size()));
  }
  if (std::any_of(rows.begin(), rows.end(), [](int64_t r) { return r < 0; })) {
    check.fail(fmt::format("{} = [{}]: counts must not be negative.", what, fmt::join(rows, ", ")));
  }
}

void check_uneven(const Checker& check, const at::Tensor& x, const Group& group, const Rows& send_rows,
                  const Rows& recv_rows) {
  check.tensor(x);
  check.dim(x, 0);
  check_rows(check, "send_rows", send_rows, group);
  check_rows(check, "recv_rows", recv_rows, group);
  if (total(send_rows) != x.size(0)) {
    check.fail(fmt::format("send_rows = [{}] add up to {}, the input has {} rows.",
                           fmt::join(send_rows, ", "), total(send_rows), x.size(0)));
  }
  if (send_rows[group.index()] != recv_rows[group.index()]) {
    check.fail(fmt::format("member {} sends {} rows to itself and receives {}.", group.index(),
                           send_rows[group.index()], recv_rows[group.index()]));
  }
}

// Of the asynchronous calls, which work on the tensors as they are: `out` is `in` with another number of rows.
void check_pair(const Checker& check, const at::Tensor& out, const at::Tensor& in, int64_t out_rows) {
  check.tensor(out, "output");
  check.contiguous(out, "output");
  check.contiguous(in, "input");
  check.shape(out, "output", with_rows(in, out_rows), in.scalar_type());
}

Work::State issue_all_to_all(const at::Tensor& out, const at::Tensor& in, const Group& group) {
  return issue("all_to_all", group, {in, (group.size() - 1) * bytes(in) / group.size()}, {out, in},
               [&](Backend& b) { return b.all_to_all(out, in, {}, {}); });
}

Work::State issue_all_to_all(const at::Tensor& out, const at::Tensor& in, const Group& group,
                             const Rows& send_rows, const Rows& recv_rows) {
  const int64_t row_bytes = in.size(0) == 0 ? 0 : bytes(in) / in.size(0);
  return issue("all_to_all", group, {in, (in.size(0) - send_rows[group.index()]) * row_bytes}, {out, in},
               [&](Backend& b) { return b.all_to_all(out, in, recv_rows, send_rows); });
}

// `out` counts on the root only.
Work::State issue_gather(const at::Tensor& out, const at::Tensor& in, const Group& group, int root) {
  return issue("gather", group, {in, group.index() == root ? 0 : bytes(in)}, {out, in},
               [&](Backend& b) { return b.gather(out, in, root); });
}

// `in` counts on the root only.
Work::State issue_scatter(const at::Tensor& out, const at::Tensor& in, const Group& group, int root) {
  const int64_t sent = group.index() == root ? (group.size() - 1) * bytes(out) : 0;
  return issue("scatter", group, {out, sent}, {out, in},
               [&](Backend& b) { return b.scatter(out, in, root); });
}

Work::State issue_barrier(const Group& group) {
  return issue("barrier", group, {at::Tensor(), 0}, {}, [](Backend& b) { return b.barrier(); });
}

}  // namespace

at::Tensor all_to_all(const at::Tensor& x, const Group& group, int64_t split_dim, int64_t join_dim) {
  const Checker check("all_to_all", group);
  check.tensor(x);
  split_dim = check.dim(x, split_dim);
  join_dim = check.dim(x, join_dim);
  check.divides(x, split_dim);
  if (group.size() == 1) return x;
  const at::Tensor in = stack_pieces(x.detach(), group.size(), split_dim);
  const at::Tensor out = at::empty_like(in);
  complete(issue_all_to_all(out, in, group));
  return join_pieces(out, group.size(), join_dim);
}

Work all_to_all_async(const at::Tensor& out, const at::Tensor& in, const Group& group) {
  const Checker check("all_to_all", group);
  check.tensor(in);
  check.dim(in, 0);
  check.divides(in, 0);
  check_pair(check, out, in, in.size(0));
  check.apart(out, "output", in, "input");
  if (group.size() == 1) return keep_to_itself(out, in);
  return in_background(issue_all_to_all(out.detach(), in.detach(), group));
}

at::Tensor all_to_all(const at::Tensor& x, const Group& group, const Rows& send_rows, const Rows& recv_rows) {
  check_uneven(Checker("all_to_all", group), x, group, send_rows, recv_rows);
  if (group.size() == 1) return x;
  const at::Tensor in = x.detach().contiguous();
  at::Tensor out = at::empty(with_rows(in, total(recv_rows)), in.options());
  complete(issue_all_to_all(out, in, group, send_rows, recv_rows));
  return out;
}

Work all_to_all_async(const at::Tensor& out, const at::Tensor& in, const Group& group, const Rows& send_rows,
                      const Rows& recv_rows) {
  const Checker check("all_to_all", group);
  check_uneven(check, in, group, send_rows, recv_rows);
  check_pair(check, out, in, total(recv_rows));
  check.apart(out, "output", in, "input");
  if (group.size() == 1) return keep_to_itself(out, in);
  return in_background(issue_all_to_all(out.detach(), in.detach(), group, send_rows, recv_rows));
}

at::Tensor gather(const at::Tensor& x, const Group& group, int root) {
  const Checker check("gather", group);
  check.tensor(x);
  check.dim(x, 0);
  check.member(root, "root");
  if (group.size() == 1) return x;
  const at::Tensor in = x.detach().contiguous();
  at::Tensor out;
  if (group.index() == root) out = at::empty(with_rows(in, group.size() * in.size(0)), in.options());
  complete(issue_gather(out, in, group, root));
  return out;
}

Work gather_async(const at::Tensor& out, const at::Tensor& in, const Group& group, int root) {
  const Checker check("gather", group);
  check.tensor(in);
  check.dim(in, 0);
  check.contiguous(in, "input");
  check.member(root, "root");
  const bool is_root = group.index() == root;
  if (is_root) check_pair(check, out, in, group.size() * in.size(0));
  if (group.size() == 1) return keep_to_itself(out, in);
  return in_background(issue_gather(is_root ? out.detach() : at::Tensor(), in.detach(), group, root));
}

at::Tensor scatter(const at::Tensor& x, const at::Tensor& like, const Group& group, int root) {
  const Checker check("scatter", group);
  check.tensor(like, "like");
  check.member(root, "root");
  const bool is_root = group.index() == root;
  if (is_root) {
    check.tensor(x);
    check.times(x, "input", like, "like");
  }
  if (group.size() == 1) return x;
  const at::Tensor in = is_root ? x.detach().contiguous() : at::Tensor();
  at::Tensor out = at::empty(like.sizes(), like.options());
  complete(issue_scatter(out, in, group, root));
  return out;
}

Work scatter_async(const at::Tensor& out, const at::Tensor& in, const Group& group, int root) {
  const Checker check("scatter", group);
  check.tensor(out, "output");
  check.dim(out, 0);
  check.contiguous(out, "output");
  check.member(root, "root");
  const bool is_root = group.index() == root;
  if (is_root) {
    check.tensor(in);
    check.contiguous(in, "input");
    check.shape(in, "input", with_rows(out, group.size() * out.size(0)), out.scalar_type());
  }
  if (group.size() == 1) return keep_to_itself(out, in);
  return in_background(issue_scatter(out.detach(), is_root ? in.detach() : at::Tensor(), group, root));
}

namespace {

Work::State issue_transfer(std::string_view op, std::vector<Transfer> batch, const Group& group) {
  const Checker check(op, group);
  int64_t sent = 0;
  std::vector<at::Tensor> keep;
  for (Transfer& t : batch) {
    const bool sends = t.kind == Transfer::Kind::send;
    check.tensor(t.tensor, sends ? "tensor to send" : "tensor to receive");
    check.contiguous(t.tensor, sends ? "tensor to send" : "tensor to receive");
    check.member(t.peer, sends ? "to" : "from");
    if (t.peer == group.index()) check.fail(fmt::format("member {} cannot exchange with itself.", t.peer));
    t.tensor = t.tensor.detach();
    if (sends) sent += bytes(t.tensor);
    keep.push_back(t.tensor);
  }
  const at::Tensor shown = keep.empty() ? at::Tensor() : keep.front();
  return issue(op, group, {shown, sent}, std::move(keep),
               [&](Backend& b) { return b.transfer(std::move(batch)); });
}

void check_peer(std::string_view op, const Group& group) {
  if (group.size() == 1) Checker(op, group).fail("a group of one has nobody to exchange with.");
}

}  // namespace

void send(const at::Tensor& x, const Group& group, int to) {
  check_peer("send", group);
  Checker("send", group).tensor(x, "tensor to send");
  complete(issue_transfer("send", {{Transfer::Kind::send, x.detach().contiguous(), to}}, group));
}

void recv(const at::Tensor& x, const Group& group, int from) {
  check_peer("recv", group);
  Checker("recv", group).tensor(x, "tensor to receive");
  complete(on_contiguous(x, [&](const at::Tensor& y) {
    return issue_transfer("recv", {{Transfer::Kind::recv, y, from}}, group);
  }));
}

Work transfer_async(std::vector<Transfer> batch, const Group& group) {
  if (batch.empty()) return Work();
  check_peer("transfer", group);
  return in_background(issue_transfer("transfer", std::move(batch), group));
}

void barrier(const Group& group) {
  if (group.size() > 1) complete(issue_barrier(group));
}

Work barrier_async(const Group& group) {
  return group.size() == 1 ? Work() : in_background(issue_barrier(group));
}

}  // namespace colossal::comm
