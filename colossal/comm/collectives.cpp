// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/collectives.h"

#include <fmt/ranges.h>

#include <numeric>

#include "colossal/base/error.h"
#include "colossal/comm/checks.h"
#include "colossal/comm/pieces.h"
#include "colossal/comm/work_state.h"

namespace colossal::comm {

namespace {

// What the recorder wants to know of a call: the tensor that stands for it and the bytes this rank sends.
struct Volume {
  const at::Tensor& tensor;
  int64_t bytes_sent;
};

int64_t bytes(const at::Tensor& x) { return x.numel() * static_cast<int64_t>(x.element_size()); }

template <class Call>
Work::State issue(std::string_view op, const Group& group, const Volume& volume, std::vector<at::Tensor> keep,
                  Call&& call) {
  Work::State work;
  work.op = op;
  work.group = group.shared_state();
  work.group_sequence = ++work.group->sequence;
  work.keep = std::move(keep);
  RecorderEntry entry;
  entry.group_sequence = work.group_sequence;
  entry.op = op;
  entry.group = work.group->name;
  entry.group_id = work.group->group_id;
  if (volume.tensor.defined()) {
    entry.shape = volume.tensor.sizes().vec();
    entry.dtype = dtype_name(volume.tensor.scalar_type());
  }
  entry.bytes_sent = volume.bytes_sent;
  entry.started = std::chrono::steady_clock::now();
  work.record = work.group->recorder->begin(std::move(entry));
  guarded(work, [&] { work.pending = call(*work.group->backend); });
  return work;
}

void complete(Work::State work) { work.wait(); }

Work in_background(Work::State work) {
  if (work.pending != nullptr) work.pending->start();
  return Work(std::make_unique<Work::State>(std::move(work)));
}

// Runs an in-place op on a contiguous stand-in when `x` is not contiguous, and copies the result back.
template <class Issue>
Work::State on_contiguous(const at::Tensor& x, Issue&& issue_on) {
  const at::Tensor raw = x.detach();
  if (raw.is_contiguous()) return issue_on(raw);
  const at::Tensor copy = raw.contiguous();
  Work::State work = issue_on(copy);
  work.finish = [raw, copy] { raw.copy_(copy); };
  return work;
}

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

void check_rows(const Checker& check, std::string_view what, const std::vector<int64_t>& rows,
                const Group& group) {
  if (static_cast<int>(rows.size()) != group.size()) {
    check.fail(fmt::format("{} has {} counts for {} members.", what, rows.size(), group.size()));
  }
  if (std::any_of(rows.begin(), rows.end(), [](int64_t r) { return r < 0; })) {
    check.fail(fmt::format("{} = [{}]: counts must not be negative.", what, fmt::join(rows, ", ")));
  }
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
  if (group.size() > 1) return in_background(issue_all_gather(out.detach(), in.detach(), group));
  if (!out.is_alias_of(in)) out.detach().view(-1).copy_(in.detach().view(-1));
  return Work();
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
  if (group.size() > 1) return in_background(issue_reduce_scatter(out.detach(), in.detach(), group, op));
  if (!out.is_alias_of(in)) out.detach().view(-1).copy_(in.detach().view(-1));
  return Work();
}

at::Tensor all_to_all(const at::Tensor& x, const Group& group, int64_t split_dim, int64_t join_dim) {
  const Checker check("all_to_all", group);
  check.tensor(x);
  split_dim = check.dim(x, split_dim);
  join_dim = check.dim(x, join_dim);
  check.divides(x, split_dim);
  if (group.size() == 1) return x;
  const at::Tensor in = stack_pieces(x.detach(), group.size(), split_dim);
  const at::Tensor out = at::empty_like(in);
  complete(issue("all_to_all", group, {in, (group.size() - 1) * bytes(in) / group.size()}, {out, in},
                 [&](Backend& b) { return b.all_to_all(out, in, {}, {}); }));
  return join_pieces(out, group.size(), join_dim);
}

at::Tensor all_to_all(const at::Tensor& x, const Group& group, const std::vector<int64_t>& send_rows,
                      const std::vector<int64_t>& recv_rows) {
  const Checker check("all_to_all", group);
  check.tensor(x);
  check.dim(x, 0);
  check_rows(check, "send_rows", send_rows, group);
  check_rows(check, "recv_rows", recv_rows, group);
  const int64_t to_send = std::accumulate(send_rows.begin(), send_rows.end(), int64_t{0});
  if (to_send != x.size(0)) {
    check.fail(fmt::format("send_rows = [{}] add up to {}, the input has {} rows.",
                           fmt::join(send_rows, ", "), to_send, x.size(0)));
  }
  if (send_rows[group.index()] != recv_rows[group.index()]) {
    check.fail(fmt::format("member {} sends {} rows to itself and receives {}.", group.index(),
                           send_rows[group.index()], recv_rows[group.index()]));
  }
  if (group.size() == 1) return x;
  const at::Tensor in = x.detach().contiguous();
  std::vector<int64_t> sizes = in.sizes().vec();
  sizes[0] = std::accumulate(recv_rows.begin(), recv_rows.end(), int64_t{0});
  at::Tensor out = at::empty(sizes, in.options());
  const int64_t row_bytes = to_send == 0 ? 0 : bytes(in) / to_send;
  complete(issue("all_to_all", group, {in, (to_send - send_rows[group.index()]) * row_bytes}, {out, in},
                 [&](Backend& b) { return b.all_to_all(out, in, recv_rows, send_rows); }));
  return out;
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

at::Tensor gather(const at::Tensor& x, const Group& group, int root) {
  const Checker check("gather", group);
  check.tensor(x);
  check.dim(x, 0);
  check.member(root, "root");
  if (group.size() == 1) return x;
  const at::Tensor in = x.detach().contiguous();
  at::Tensor out;
  if (group.index() == root) {
    std::vector<int64_t> sizes = in.sizes().vec();
    sizes[0] *= group.size();
    out = at::empty(sizes, in.options());
  }
  complete(issue("gather", group, {in, group.index() == root ? 0 : bytes(in)}, {out, in},
                 [&](Backend& b) { return b.gather(out, in, root); }));
  return out;
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
  complete(issue("scatter", group, {out, is_root ? (group.size() - 1) * bytes(out) : 0}, {out, in},
                 [&](Backend& b) { return b.scatter(out, in, root); }));
  return out;
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
  if (group.size() == 1) return;
  complete(issue("barrier", group, {at::Tensor(), 0}, {}, [](Backend& b) { return b.barrier(); }));
}

}  // namespace colossal::comm
