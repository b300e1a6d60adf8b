// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <random>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/redistribute.h"

using namespace colossal;
using namespace colossal::tensor;

namespace {

const MeshShape kGrid({{"a", 2}, {"b", 2}, {"c", 3}});

enum class Padding { no, yes };

// A random layout of `shape` on `mesh`; `partial_from`: only these axes may be partial.
Layout random_layout(std::mt19937& random, const Shape& shape, const MeshShape& mesh,
                     const Axes& partial_from, Padding padding) {
  std::vector<Axes> dims(shape.size());
  Axes partial, order;
  for (const comm::Axis& axis : mesh.axes()) order.push_back(axis.name);
  std::shuffle(order.begin(), order.end(), random);
  for (const std::string& axis : order) {
    const size_t choice = random() % (shape.size() + 2);
    if (choice < shape.size()) {
      dims[choice].push_back(axis);
      if (padding == Padding::no && shape[choice] % mesh.axes_size(dims[choice]) != 0)
        dims[choice].pop_back();
    } else if (choice == shape.size() &&
               std::find(partial_from.begin(), partial_from.end(), axis) != partial_from.end()) {
      partial.push_back(axis);
    }
  }
  return Layout::padded(shape, mesh, dims, partial);
}

// This rank's part of `full`: whole numbers, so that sums are exact in any order.
at::Tensor part_of(const at::Tensor& full, const Layout& layout, int rank) {
  at::Tensor piece = local_piece(full, layout, rank).clone();
  if (layout.partial().empty()) return piece;
  const auto noise = [&](int r) {
    const RandomKey key =
        RandomKey(5).at_step(static_cast<uint64_t>(layout.mesh().group_index(r, layout.partial())));
    return local_piece(
        random_ints(key, layout.shape(), {Shape(layout.shape().size(), 0), layout.shape()}, -50, 50)
            .to(at::kDouble),
        layout, rank);
  };
  if (layout.mesh().group_index(rank, layout.partial()) > 0) return noise(rank).clone();
  at::Tensor rest = piece;
  for (int r : layout.mesh().group_ranks(rank, layout.partial())) {
    if (r != rank) rest.sub_(noise(r));
  }
  return rest;
}

struct Case {
  Layout from, to;
};

std::vector<Case> random_cases(std::mt19937& random, const MeshShape& mesh, int count,
                               Padding padding = Padding::no) {
  Axes all;
  for (const comm::Axis& axis : mesh.axes()) all.push_back(axis.name);
  std::vector<Case> cases;
  for (int i = 0; i < count; ++i) {
    Shape shape(1 + random() % 3);
    const int64_t sizes[] = {1, 2, 3, 4, 6, 8, 12};
    for (int64_t& size : shape) {
      size = padding == Padding::yes ? 1 + static_cast<int64_t>(random() % 13) : sizes[random() % 7];
    }
    const Layout from = random_layout(random, shape, mesh, all, padding);
    cases.push_back({from, random_layout(random, shape, mesh, from.partial(), padding)});
  }
  return cases;
}

// On every rank: the result is the slice of the whole, and the bytes sent are those of the plan.
void check_cases(const std::vector<Case>& cases, const MeshShape& shape) {
  comm::run_ranks(shape.size(), [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, shape);
    for (const Case& c : cases) {
      const at::Tensor full = random_ints(RandomKey(1), c.from.shape(),
                                          {Shape(c.from.shape().size(), 0), c.from.shape()}, -99, 99)
                                  .to(at::kDouble);
      const at::Tensor x = part_of(full, c.from, mesh.rank());
      const at::Tensor kept = x.clone();
      const int64_t before = world->recorder().total().bytes_sent;
      at::Tensor y = redistribute(x, c.from, c.to, mesh);
      const int64_t sent = world->recorder().total().bytes_sent - before;
      if (shape.axes_size(c.to.partial()) > 1) {
        y = y.clone();
        comm::all_reduce(y, mesh.group(c.to.partial()));
      }
      const Plan plan = plan_redistribution(c.from, c.to);
      const bool right = at::equal(y, local_piece(full, c.to, mesh.rank())) && at::equal(x, kept) &&
                         sent == plan.bytes_sent(8);
      if (!right) {
        throw InternalError(fmt::format("{}: {} -> {} by {}: sent {}, planned {}", shape.describe(),
                                        c.from.describe(), c.to.describe(), plan.describe(), sent,
                                        plan.bytes_sent(8)));
      }
    }
  });
}

std::string planned(const Layout& from, const Layout& to) { return plan_redistribution(from, to).describe(); }

}  // namespace

TEST_CASE("the obvious plans") {
  const auto layout = [](const std::vector<Axes>& dims, const Axes& partial = {}) {
    return Layout({12, 24}, kGrid, dims, partial);
  };
  CHECK(planned(layout({{"a"}, {}}), layout({{"a"}, {}})) == "nothing to move");
  CHECK(planned(layout({{}, {}}), layout({{"a"}, {"c"}})) == "slice(c) of dim 1, slice(a) of dim 0");
  CHECK(planned(layout({{"a", "b"}, {}}), layout({{}, {}})) == "all_gather(a, b) of dim 0");
  CHECK(planned(layout({{}, {}}, {"a", "b"}), layout({{}, {}})) == "all_reduce(a, b)");
  CHECK(planned(layout({{}, {}}, {"a", "b"}), layout({{"b"}, {}})) ==
        "reduce_scatter(b) to dim 0, all_reduce(a)");
  CHECK(planned(layout({{}, {}}, {"a", "b"}), layout({{"b", "a"}, {}})) == "reduce_scatter(b, a) to dim 0");
  CHECK(planned(layout({{"a"}, {}}), layout({{}, {"a"}})) == "all_to_all(a) from dim 0 to 1");
  CHECK(planned(layout({{"a"}, {}}, {"b"}), layout({{}, {"b"}})) ==
        "reduce_scatter(b) to dim 1, all_gather(a) of dim 0");
  CHECK(planned(layout({{"c"}, {}}, {"a"}), layout({{}, {}}, {"a"})) == "all_gather(c) of dim 0");
}

TEST_CASE("plans between padded layouts: even pieces move, what is padded otherwise is gathered and recut") {
  const auto layout = [](const std::vector<Axes>& dims) { return Layout::padded({7, 24}, kGrid, dims); };
  CHECK(planned(layout({{"a"}, {}}), layout({{}, {}})) == "all_gather(a) of dim 0, recut of dim 0");
  CHECK(planned(layout({{}, {}}), layout({{"a"}, {}})) == "recut of dim 0");
  CHECK(planned(layout({{"a"}, {}}), layout({{"c"}, {}})) == "all_gather(a) of dim 0, recut of dim 0");
  CHECK(planned(layout({{"a"}, {}}), layout({{"a", "b"}, {}})) == "slice(b) of dim 0");
  CHECK(planned(layout({{"a"}, {}}), layout({{"a"}, {"c"}})) == "slice(c) of dim 1");
  CHECK(planned(layout({{"a"}, {}}), layout({{}, {"a"}})) == "all_to_all(a) from dim 0 to 1, recut of dim 0");
  CHECK(plan_redistribution(layout({{"a"}, {}}), layout({{}, {}})).bytes_sent(4) == 4 * 24 * 4);
}

TEST_CASE("volumes of the moves") {
  const Layout sharded({12, 24}, kGrid, {{"c"}, {}}), whole = Layout::replicated({12, 24}, kGrid);
  const Layout partial = whole.with_partial({"c"}), columns({12, 24}, kGrid, {{}, {"c"}});
  CHECK(plan_redistribution(sharded, whole).bytes_sent(4) == 2 * 96 * 4);
  CHECK(plan_redistribution(partial, whole).bytes_sent(4) == 2 * 2 * 288 / 3 * 4);
  CHECK(plan_redistribution(partial, sharded).bytes_sent(4) == 2 * 96 * 4);
  CHECK(plan_redistribution(sharded, columns).bytes_sent(4) == 2 * 32 * 4);
  CHECK(plan_redistribution(whole, columns).bytes_sent(4) == 0);
  // 7 elements over 3 ranks: the volume is rounded in bytes, as the recorder does.
  const Layout odd = Layout::replicated({7}, kGrid);
  CHECK(plan_redistribution(odd.with_partial({"c"}), odd).bytes_sent(4) == 2 * 2 * 28 / 3);
}

TEST_CASE("a plan never sends more than summing and gathering everything") {
  std::mt19937 random(3);
  for (const Padding padding : {Padding::no, Padding::yes}) {
    for (const Case& c : random_cases(random, kGrid, 200, padding)) {
      if (!c.to.partial().empty()) continue;
      const Layout whole = Layout::replicated(c.from.shape(), kGrid);
      CHECK(plan_redistribution(c.from, c.to).bytes_sent(8) <=
            plan_redistribution(c.from, whole).bytes_sent(8));
    }
  }
}

TEST_CASE("redistribution equals slicing the whole, with the planned bytes") {
  std::mt19937 random(2);
  for (const MeshShape& mesh :
       {MeshShape({{"a", 2}}), MeshShape({{"a", 3}}), MeshShape({{"a", 2}, {"b", 2}}),
        MeshShape({{"a", 3}, {"b", 2}}), MeshShape({{"a", 1}, {"b", 4}}),
        MeshShape({{"a", 2}, {"b", 2}, {"c", 2}}), MeshShape({{"a", 5}}), MeshShape({{"a", 1}})}) {
    check_cases(random_cases(random, mesh, 40), mesh);
    check_cases(random_cases(random, mesh, 40, Padding::yes), mesh);
  }
}

TEST_CASE("gather_full undoes local_piece; fused local shapes are accepted") {
  const MeshShape shape({{"a", 2}, {"b", 2}});
  comm::run_ranks(4, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, shape);
    const Layout layout({3, 4, 2}, shape, {{}, {"b", "a"}, {}});
    const at::Tensor full = at::arange(24.0).view({3, 4, 2});
    const at::Tensor fused = local_piece(full, layout, mesh.rank()).reshape({3, 2});
    if (!at::equal(gather_full(fused, layout, mesh), full)) throw InternalError("gather_full differs");
  });
}

TEST_CASE("padding of a local piece is zeros, and neither gathered nor part of what is logical") {
  const MeshShape shape({{"a", 2}, {"b", 2}});
  comm::run_ranks(4, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, shape);
    const Layout layout = Layout::padded({3, 5, 2}, shape, {{}, {"b", "a"}, {}});
    const at::Tensor full = at::arange(1.0, 31.0).view({3, 5, 2});
    const at::Tensor piece = local_piece(full, layout, mesh.rank());
    const int64_t first = layout.slice(mesh.rank()).offset[1];
    const int64_t rows = std::min<int64_t>(2, 5 - first);
    if (piece.sizes() != at::IntArrayRef({3, 2, 2}) ||
        !at::equal(piece.narrow(1, rows, 2 - rows), at::zeros({3, 2 - rows, 2})))
      throw InternalError("the padding of a piece is not zero");
    at::Tensor fused = piece.reshape({6, 2}).clone();
    if (!at::equal(without_padding(fused, layout, mesh.rank()), full.narrow(1, first, rows)))
      throw InternalError("without_padding differs");
    fused.add_(1);  // whatever the padding holds
    if (!at::equal(gather_full(fused, layout, mesh), full + 1)) throw InternalError("gather_full differs");
    const Layout plain({4}, shape, {{"a"}});
    const at::Tensor same = at::ones({2});
    if (!without_padding(same, plain, mesh.rank()).is_same(same))
      throw InternalError("not the tensor itself");
  });
}

TEST_CASE("impossible redistributions are refused by name") {
  const Layout a({4, 4}, kGrid, {{"a"}, {}});
  CHECK_THROWS_WITH_AS(plan_redistribution(a, Layout({4, 2}, kGrid, {{}, {}})),
                       "redistribute [4/a, 4] -> [4, 2]: the logical shapes differ.", ShapeError);
  CHECK_THROWS_WITH_AS(plan_redistribution(a, a.with_partial({"b"})),
                       "redistribute [4/a, 4] -> [4/a, 4] partial(b): the result cannot be a partial sum "
                       "over an axis where the "
                       "source is none.",
                       ShapeError);
  CHECK_THROWS_WITH_AS(plan_redistribution(a, Layout({4, 4}, MeshShape({{"a", 2}}), {{"a"}, {}})),
                       "redistribute [4/a, 4] -> [4/a, 4]: the meshes differ: a 2 x b 2 x c 3 and a 2.",
                       ShapeError);
  CHECK_THROWS_WITH_AS(
      redistribute(at::ones({3}), Layout({4}, {}, {{}}), Layout({4}, {}, {{}}), comm::Mesh()),
      "redistribute [4]: the local piece [3] has 3 elements, the layout gives each rank 4.", ShapeError);
}
