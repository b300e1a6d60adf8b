// SPDX-License-Identifier: Apache-2.0
// The contract of every backend: each op against what one process computes from all members' inputs.
#include "backends.h"

using namespace colossal;
using namespace colossal::comm;

namespace {

const std::vector<at::ScalarType> kReducible = {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong,
                                                at::kInt,    at::kShort, at::kChar, at::kByte};

std::vector<at::Tensor> samples(int n, const std::vector<int64_t>& sizes, at::ScalarType type) {
  std::vector<at::Tensor> all;
  for (int i = 0; i < n; ++i) all.push_back(sample(i, sizes, type));
  return all;
}

at::Tensor reduced(const std::vector<at::Tensor>& all, ReduceOp op) {
  const at::ScalarType type = all[0].scalar_type();
  at::Tensor stacked = at::stack(all).to(at::kDouble);
  if (op == ReduceOp::sum) return stacked.sum(0).to(type);
  if (op == ReduceOp::avg) return stacked.mean(0).to(type);
  return (op == ReduceOp::max ? stacked.amax(0) : stacked.amin(0)).to(type);
}

bool close(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && at::allclose(a.to(at::kDouble), b.to(at::kDouble), 8e-3, 1e-12);
}

// From nothing to several segments of the pipelined paths, odd on purpose.
const std::vector<std::vector<int64_t>> kShapes = {{0}, {1}, {7}, {3, 5}, {2, 0, 3}, {16391}, {3, 262147}};

}  // namespace

TEST_CASE("all_reduce: dtypes, ops and sizes") {
  for (const int n : {2, 3}) {
    on_backends(n, [&](const Group& group) {
      for (const auto type : kReducible) {
        for (const ReduceOp op : {ReduceOp::sum, ReduceOp::max, ReduceOp::min}) {
          const at::Tensor x = sample(group.index(), {3, 5}, type);
          all_reduce(x, group, op);
          CHECK(x.equal(reduced(samples(n, {3, 5}, type), op)));
        }
      }
      for (const auto type : {at::kFloat, at::kBFloat16}) {
        for (const auto& sizes : kShapes) {
          const at::Tensor x = sample(group.index(), sizes, type);
          all_reduce(x, group, ReduceOp::avg);
          CHECK(close(x, reduced(samples(n, sizes, type), ReduceOp::avg)));
        }
      }
      const at::Tensor flag = at::full({2}, group.index() == 1, at::kBool);
      all_reduce(flag, group, ReduceOp::max);
      CHECK(flag.all().item<bool>());
      all_reduce(flag.fill_(group.index() == 1), group, ReduceOp::min);
      CHECK_FALSE(flag.any().item<bool>());
    });
  }
}

TEST_CASE("all_reduce: views in place, equal bits on all members") {
  on_backends(4, [](const Group& group) {
    const at::Tensor whole = sample(group.index(), {6, 8}, at::kFloat);
    const at::Tensor view = whole.t().narrow(0, 1, 3);
    const at::Tensor left = whole.select(1, 0).clone();
    all_reduce(view, group);
    at::Tensor sum = at::zeros({6, 8});
    for (int i = 0; i < 4; ++i) sum += sample(i, {6, 8}, at::kFloat);
    CHECK(view.equal(sum.t().narrow(0, 1, 3)));
    CHECK(whole.select(1, 0).equal(left));
    const at::Tensor odd =
        at::full({100'003}, 0.1f * static_cast<float>(group.index() + 1)).to(at::kBFloat16);
    all_reduce(odd, group);
    CHECK(all_gather(odd.view({1, -1}), group).eq(odd).all().item<bool>());
  });
}

TEST_CASE("all_gather and reduce_scatter: every dim, dtype and size") {
  for (const int n : {2, 3}) {
    on_backends(n, [&](const Group& group) {
      for (const int64_t dim : {0, 1, 2, -1}) {
        const at::Tensor x = sample(group.index(), {2, 3, 4}, at::kDouble).transpose(0, 2);
        std::vector<at::Tensor> all;
        for (int i = 0; i < n; ++i) all.push_back(sample(i, {2, 3, 4}, at::kDouble).transpose(0, 2));
        CHECK(all_gather(x, group, dim).equal(at::cat(all, dim)));
        const at::Tensor y = sample(group.index(), {2 * n, 3 * n, n}, at::kDouble);
        const at::Tensor sum = reduced(samples(n, {2 * n, 3 * n, n}, at::kDouble), ReduceOp::sum);
        CHECK(reduce_scatter(y, group, dim).equal(sum.chunk(n, dim)[group.index()]));
      }
      for (const auto type :
           {at::kBFloat16, at::kHalf, at::kLong, at::kShort, at::kBool, at::kFloat8_e4m3fn}) {
        const at::Tensor x = sample(group.index(), {3, 5}, at::kFloat).to(type);
        const at::Tensor all = all_gather(x, group).to(at::kFloat);
        for (int i = 0; i < n; ++i) {
          CHECK(all.narrow(0, 3 * i, 3).equal(sample(i, {3, 5}, at::kFloat).to(type).to(at::kFloat)));
        }
      }
      for (const auto& sizes : kShapes) {
        CHECK(all_gather(sample(group.index(), sizes, at::kFloat), group)
                  .equal(at::cat(samples(n, sizes, at::kFloat))));
        std::vector<int64_t> large = sizes;
        large[0] *= n;
        const at::Tensor mine =
            reduce_scatter(sample(group.index(), large, at::kFloat), group, 0, ReduceOp::max);
        CHECK(mine.equal(reduced(samples(n, large, at::kFloat), ReduceOp::max).chunk(n)[group.index()]));
      }
    });
  }
}

TEST_CASE("all_to_all: even along any two dims, and uneven rows") {
  on_backends(3, [](const Group& group) {
    const int n = 3, me = group.index();
    for (const int64_t split : {0, 1}) {
      for (const int64_t join : {0, 1}) {
        std::vector<at::Tensor> pieces;
        for (int i = 0; i < n; ++i) pieces.push_back(sample(i, {6, 9}, at::kLong).chunk(n, split)[me]);
        CHECK(all_to_all(sample(me, {6, 9}, at::kLong), group, split, join).equal(at::cat(pieces, join)));
      }
    }
    // Member i sends i + 2 j rows to member j; nothing from 0 to 0.
    std::vector<int64_t> send, recv;
    int64_t rows = 0;
    for (int j = 0; j < n; ++j) {
      send.push_back(me + 2 * j);
      recv.push_back(j + 2 * me);
      rows += send.back();
    }
    const at::Tensor x = at::arange(rows * 2).view({rows, 2}).to(at::kBFloat16) + 20 * me;
    const at::Tensor y = all_to_all(x, group, send, recv);
    CHECK(all_to_all(y, group, recv, send).equal(x));
    CHECK(y[recv[0]][0].item<float>() == 20 + (me == 0 ? 0 : me == 1 ? 2 : 8));
  });
}

TEST_CASE("broadcast, reduce, gather and scatter: every root") {
  for (const int n : {2, 3}) {
    on_backends(n, [&](const Group& group) {
      for (int root = 0; root < n; ++root) {
        for (const auto& sizes : kShapes) {
          const at::Tensor x = sample(group.index(), sizes, at::kBFloat16);
          broadcast(x, group, root);
          CHECK(x.equal(sample(root, sizes, at::kBFloat16)));
          const at::Tensor y = sample(group.index(), sizes, at::kFloat);
          reduce(y, group, root);
          if (group.index() == root) CHECK(y.equal(reduced(samples(n, sizes, at::kFloat), ReduceOp::sum)));
          const at::Tensor all = gather(sample(group.index(), sizes, at::kLong), group, root);
          CHECK(all.defined() == (group.index() == root));
          if (all.defined()) CHECK(all.equal(at::cat(samples(n, sizes, at::kLong))));
          const at::Tensor like = sample(0, sizes, at::kLong);
          const at::Tensor piece = scatter(all, like, group, root);
          CHECK(piece.equal(sample(group.index(), sizes, at::kLong)));
        }
      }
    });
  }
}

TEST_CASE("send, recv and batches of both around a ring") {
  on_backends(3, [](const Group& group) {
    const int right = (group.index() + 1) % 3, left = (group.index() + 2) % 3;
    for (const int64_t numel : {0, 5, 50'000}) {
      const at::Tensor out = sample(group.index(), {2, numel}, at::kDouble), in = at::empty_like(out);
      const at::Tensor second = at::full({3}, group.index(), at::kLong), second_in = at::empty_like(second);
      transfer_async({{Transfer::Kind::send, out, right},
                      {Transfer::Kind::recv, in, left},
                      {Transfer::Kind::send, second, right},
                      {Transfer::Kind::recv, second_in, left}},
                     group)
          .wait();
      CHECK(in.equal(sample(left, {2, numel}, at::kDouble)));
      CHECK(second_in.eq(left).all().item<bool>());
    }
    const at::Tensor x = at::full({4}, group.index(), at::kFloat);
    if (group.index() == 0) send(x, group, 2);
    if (group.index() == 2) {
      const at::Tensor y = at::zeros({4, 2});
      recv(y.select(1, 1), group, 0);
      CHECK(y.sum().item<float>() == 0);
    }
    barrier(group);
  });
}

TEST_CASE("asynchronous: many under way, waited in any order or dropped") {
  on_backends(2, [](const Group& group) {
    std::vector<at::Tensor> xs;
    std::vector<Work> works;
    for (int i = 0; i < 8; ++i) {
      xs.push_back(at::full({i == 3 ? 400'000 : 10 + i}, i + group.index(), at::kDouble));
      works.push_back(all_reduce_async(xs.back(), group));
    }
    const at::Tensor late = at::full({3}, 1.0);
    all_reduce(late, group);
    CHECK(late.eq(2).all().item<bool>());
    for (int i = 7; i >= 4; --i) works[i].wait();
    works.clear();
    for (int i = 0; i < 8; ++i) CHECK(xs[i].eq(2 * i + 1).all().item<bool>());
    const at::Tensor in = at::full({2}, group.index(), at::kFloat), out = at::empty({4});
    all_gather_async(out, in, group).wait();
    reduce_scatter_async(in, out, group).wait();
    CHECK(in.eq(2 * group.index()).all().item<bool>());
  });
}

TEST_CASE("asynchronous: views in place") {
  on_backends(2, [](const Group& group) {
    const at::Tensor whole = sample(group.index(), {4, 6}, at::kFloat), view = whole.t().narrow(0, 1, 3);
    const at::Tensor left = whole.select(1, 0).clone();
    const at::Tensor sum = reduced(samples(2, {4, 6}, at::kFloat), ReduceOp::sum).t().narrow(0, 1, 3);
    all_reduce_async(view, group).wait();
    CHECK(view.equal(sum));
    view.add_(group.index());
    broadcast_async(view, group, 1).wait();
    CHECK(view.equal(sum + 1));
    reduce_async(view, group).wait();
    if (group.index() == 0) CHECK(view.equal(2 * sum + 2));
    CHECK(whole.select(1, 0).equal(left));
  });
}

// Members 0, 1, 2 send me + 2 j rows to member j.
TEST_CASE("asynchronous exchanges: what the synchronous ones give, all under way at once, recorded") {
  on_worlds(3, [](World& world) {
    const Group group = world.group();
    const int me = group.index(), root = 1;
    const bool is_root = me == root;
    const std::vector<int64_t> send = {me, me + 2, me + 4}, recv = {2 * me, 2 * me + 1, 2 * me + 2};
    for (const int64_t width : {0, 5, 40'000}) {
      const at::Tensor x = sample(me, {6, width}, at::kFloat), y = sample(me, {3 * me + 6, width}, at::kLong),
                       piece = sample(me, {2, width}, at::kBFloat16),
                       whole = is_root ? sample(7, {6, width}, at::kBFloat16) : at::Tensor();
      const at::Tensor even = at::empty_like(x), uneven = at::empty({6 * me + 3, width}, at::kLong),
                       gathered = is_root ? at::empty({6, width}, at::kBFloat16) : at::Tensor(),
                       scattered = at::empty_like(piece);
      const std::string arrived = fmt::format("arrived at {}", width);
      world.recorder().reset();
      world.store().add(arrived, 1);
      std::vector<Work> works;
      works.push_back(barrier_async(group));
      works.push_back(all_to_all_async(even, x, group));
      works.push_back(all_to_all_async(uneven, y, group, send, recv));
      works.push_back(gather_async(gathered, piece, group, root));
      works.push_back(scatter_async(scattered, whole, group, root));
      for (const RecorderEntry& entry : world.recorder().entries()) CHECK(entry.seconds == -1);
      works[0].wait();
      CHECK(world.store().add(arrived, 0) == 3);
      for (int i = 4; i > 0; --i) works[i].wait();
      for (const RecorderEntry& entry : world.recorder().entries()) CHECK(entry.seconds > 0);

      auto totals = world.recorder().totals();
      const int64_t row = width * 8, piece_bytes = 2 * width * 2;
      CHECK(totals.size() == 4);
      CHECK(totals[{"barrier", "world"}].calls == 1);
      CHECK(totals[{"all_to_all", "world"}].calls == 2);
      CHECK(totals[{"all_to_all", "world"}].bytes_sent == 4 * width * 4 + (3 * me + 6 - send[me]) * row);
      CHECK(totals[{"gather", "world"}].bytes_sent == (is_root ? 0 : piece_bytes));
      CHECK(totals[{"scatter", "world"}].bytes_sent == (is_root ? 2 * piece_bytes : 0));

      CHECK(even.equal(all_to_all(x, group)));
      CHECK(uneven.equal(all_to_all(y, group, send, recv)));
      if (is_root) CHECK(gathered.equal(at::cat(samples(3, {2, width}, at::kBFloat16))));
      CHECK(scattered.equal(sample(7, {6, width}, at::kBFloat16).narrow(0, 2 * me, 2)));
    }
  });
}

TEST_CASE(
    "asynchronous in a group of one: the output is the input, also where they are parts of one buffer") {
  const Group self;
  const at::Tensor buffer = at::arange(8, at::kLong), in = buffer.narrow(0, 0, 4),
                   out = buffer.narrow(0, 4, 4);
  const std::vector<std::function<Work()>> calls = {
      [&] { return all_gather_async(out, in, self); },
      [&] { return reduce_scatter_async(out, in, self); },
      [&] { return all_to_all_async(out, in, self); },
      [&] { return all_to_all_async(out, in, self, {4}, {4}); },
      [&] { return gather_async(out, in, self); },
      [&] { return scatter_async(out, in, self); },
  };
  for (const auto& call : calls) {
    out.zero_();
    call().wait();
    CHECK(out.equal(at::arange(4, at::kLong)));
    CHECK(in.equal(at::arange(4, at::kLong)));
  }
  all_gather_async(in, in, self).wait();
  barrier_async(self).wait();
  CHECK(in.equal(at::arange(4, at::kLong)));
}

TEST_CASE("JSON of different sizes") {
  on_backends(3, [](const Group& group) {
    const Json mine = {{"rank", group.index()}, {"text", std::string(group.index() * 1000, 'x')}};
    CHECK(broadcast_json(mine, group, 2)["text"].get<std::string>().size() == 2000);
    const auto all = all_gather_json(mine, group);
    for (int i = 0; i < 3; ++i) CHECK(all[i] == Json{{"rank", i}, {"text", std::string(i * 1000, 'x')}});
  });
}
