// SPDX-License-Identifier: Apache-2.0
#include "local_cases.h"

#include <cmath>
#include <cstring>

#include "colossal/base/error.h"

namespace colossal::comm::local {
namespace {

// Distinct small integers: exact in every dtype used here, sums over 8 members included.
double element(int member, int64_t i) { return static_cast<double>((7 * member + i) % 13); }

at::Tensor source(int member, int64_t count, at::ScalarType dtype) {
  return filled(count, dtype, [&](int64_t i) { return element(member, i); });
}

void expect(const char* what, const at::Tensor& got, const at::Tensor& wanted) {
  if (got.nbytes() != wanted.nbytes() ||
      (got.nbytes() > 0 && std::memcmp(got.const_data_ptr(), wanted.const_data_ptr(), got.nbytes()) != 0)) {
    throw Error(fmt::format("{} of {} x {} differs", what, got.numel(), c10::toString(got.scalar_type())));
  }
}

double reduced(ReduceOp op, int n, int64_t i, bool boolean) {
  double value = boolean ? element(0, i) != 0 : element(0, i);
  for (int m = 1; m < n; ++m) {
    const double next = boolean ? element(m, i) != 0 : element(m, i);
    switch (op) {
      case ReduceOp::max: value = std::max(value, next); break;
      case ReduceOp::min: value = std::min(value, next); break;
      default: value += next;
    }
  }
  return op == ReduceOp::avg ? value / n : value;
}

void finish(Backend::Pending pending, bool overlapped) {
  if (overlapped && pending) {
    pending->start();
  }
  if (pending) {
    pending->wait();
  }
}

// Member m sends (m + j) % 3 * count rows of 1 to j.
void check_uneven_all_to_all(Backend& backend, int n, int index, int64_t count, bool overlapped) {
  const at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> in_rows(n), out_rows(n);
  int64_t in_total = 0, out_total = 0;
  for (int j = 0; j < n; ++j) {
    in_rows[j] = (2 * index + j) % 3 * count;
    out_rows[j] = (2 * j + index) % 3 * count;
    in_total += in_rows[j];
    out_total += out_rows[j];
  }
  at::Tensor uneven = at::empty({out_total}, dtype);
  finish(backend.all_to_all(uneven, source(index, in_total, dtype), out_rows, in_rows), overlapped);
  std::vector<double> wanted;
  for (int j = 0; j < n; ++j) {
    int64_t begin = 0;
    for (int k = 0; k < index; ++k) {
      begin += (2 * j + k) % 3 * count;
    }
    for (int64_t i = 0; i < out_rows[j]; ++i) {
      wanted.push_back(element(j, begin + i));
    }
  }
  expect("all_to_all uneven", uneven, filled(out_total, dtype, [&](int64_t i) { return wanted[i]; }));
}

}  // namespace

void check_collectives(Backend& backend, int n, int index, int64_t count, bool overlapped) {
  const auto run = [&](Backend::Pending pending) { finish(std::move(pending), overlapped); };
  const at::ScalarType dtype = at::kFloat;
  const at::Tensor all =
      filled(n * count, dtype, [&](int64_t i) { return element(static_cast<int>(i / count), i % count); });

  at::Tensor x = source(index, count, dtype);
  run(backend.all_reduce(x, ReduceOp::sum));
  expect("all_reduce", x,
         filled(count, dtype, [&](int64_t i) { return reduced(ReduceOp::sum, n, i, false); }));

  at::Tensor out = at::empty({n * count}, dtype);
  run(backend.all_gather(out, source(index, count, dtype)));
  expect("all_gather", out, all);

  // Member m gives element(m, .) over n * count elements.
  at::Tensor piece = at::empty({count}, dtype);
  run(backend.reduce_scatter(piece, source(index, n * count, dtype), ReduceOp::sum));
  expect("reduce_scatter", piece, filled(count, dtype, [&](int64_t i) {
           return reduced(ReduceOp::sum, n, index * count + i, false);
         }));

  run(backend.all_to_all(out, source(index, n * count, dtype), {}, {}));
  expect("all_to_all", out, filled(n * count, dtype, [&](int64_t i) {
           return element(static_cast<int>(i / count), index * count + i % count);
         }));

  check_uneven_all_to_all(backend, n, index, count, overlapped);

  for (int root = 0; root < n; ++root) {
    x = source(index, count, dtype);
    run(backend.broadcast(x, root));
    expect("broadcast", x, source(root, count, dtype));
    x = source(index, count, dtype);
    run(backend.reduce(x, root, ReduceOp::sum));
    if (index == root) {
      expect("reduce", x,
             filled(count, dtype, [&](int64_t i) { return reduced(ReduceOp::sum, n, i, false); }));
    } else {
      expect("reduce elsewhere", x, source(index, count, dtype));
    }
    at::Tensor gathered = index == root ? at::empty({n * count}, dtype) : at::Tensor();
    run(backend.gather(gathered, source(index, count, dtype), root));
    if (index == root) {
      expect("gather", gathered, all);
    }
    run(backend.scatter(piece, index == root ? all : at::Tensor(), root));
    expect("scatter", piece, source(index, count, dtype));
  }
  run(backend.barrier());
}

void check_reductions(Backend& backend, int n, int index, int64_t count) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                                     at::kShort, at::kChar, at::kByte, at::kBool}) {
    for (const ReduceOp op : {ReduceOp::sum, ReduceOp::avg, ReduceOp::max, ReduceOp::min}) {
      if (op == ReduceOp::avg && !at::isFloatingType(dtype)) {
        continue;
      }
      at::Tensor x = source(index, count, dtype);
      finish(backend.all_reduce(x, op), false);
      expect("all_reduce", x,
             filled(count, dtype, [&](int64_t i) { return reduced(op, n, i, dtype == at::kBool); }));
    }
  }
}

void check_transfers(Backend& backend, int n, int index, int64_t count) {
  using Kind = Transfer::Kind;
  const int next = (index + 1) % n, last = (index + n - 1) % n;
  // A ring with every member sending first.
  at::Tensor got = at::empty({count}, at::kFloat);
  finish(backend.transfer({{Kind::send, source(index, count, at::kFloat), next}, {Kind::recv, got, last}}),
         false);
  expect("ring", got, source(last, count, at::kFloat));
  // Everybody with everybody, itself included, three messages each, receives asked for in another order than sends.
  std::vector<Transfer> batch;
  std::vector<at::Tensor> received;
  for (int message = 0; message < 3; ++message) {
    for (int peer = 0; peer < n; ++peer) {
      batch.push_back({Kind::send, source(index + message, count + message, at::kShort), peer});
    }
  }
  for (int peer = n - 1; peer >= 0; --peer) {
    for (int message = 0; message < 3; ++message) {
      received.push_back(at::empty({count + message}, at::kShort));
      batch.push_back({Kind::recv, received.back(), peer});
    }
  }
  finish(backend.transfer(batch), true);
  size_t at = 0;
  for (int peer = n - 1; peer >= 0; --peer) {
    for (int message = 0; message < 3; ++message) {
      expect("batch", received[at++], source(peer + message, count + message, at::kShort));
    }
  }
  // A collective between the start and the end of a transfer.
  Backend::Pending pending =
      backend.transfer({{Kind::send, source(index, count, at::kFloat), next}, {Kind::recv, got, last}});
  finish(backend.barrier(), false);
  finish(std::move(pending), false);
  expect("ring around a barrier", got, source(last, count, at::kFloat));
}

}  // namespace colossal::comm::local
