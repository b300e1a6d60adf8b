// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/mesh.h"

using namespace colossal;
using namespace colossal::comm;

TEST_CASE("MeshShape: rank and coordinate are inverse, groups partition the ranks") {
  for (const std::vector<Axis>& axes : std::vector<std::vector<Axis>>{
           {}, {{"a", 1}}, {{"a", 5}}, {{"a", 2}, {"b", 3}}, {{"p", 2}, {"d", 1}, {"r", 2}, {"c", 3}}}) {
    const MeshShape shape(axes);
    for (int rank = 0; rank < shape.size(); ++rank) {
      CHECK(shape.rank(shape.coordinate(rank)) == rank);
      for (size_t i = 0; i < axes.size(); ++i) {
        for (size_t j = 0; j < axes.size(); ++j) {
          Axes names{axes[i].name};
          if (i != j) names.push_back(axes[j].name);
          const std::vector<int> ranks = shape.group_ranks(rank, names);
          CHECK(static_cast<int>(ranks.size()) == shape.axes_size(names));
          CHECK(ranks[shape.group_index(rank, names)] == rank);
          for (const int member : ranks) CHECK(shape.group_ranks(member, names) == ranks);
        }
      }
    }
  }
  const MeshShape shape({{"data", 2}, {"tensor", 4}});
  CHECK(shape.group_ranks(6, {"tensor"}) == std::vector<int>{4, 5, 6, 7});
  CHECK(shape.group_ranks(1, {"tensor", "data"}) == std::vector<int>{0, 4, 1, 5, 2, 6, 3, 7});
  CHECK(shape.describe() == "data 2 x tensor 4");
}

TEST_CASE("MeshShape and Mesh: all problems at once") {
  CHECK_THROWS_WITH_AS(
      MeshShape({{"a", 0}, {"", 2}, {"b", 1}, {"b", 1}}),
      "mesh: axis \"a\" has size 0. Allowed: 1 or more.\nmesh: axis 1 has no name. Give every axis a name.\n"
      "mesh: two axes are named \"b\". Names must differ.",
      ConfigError);
  CHECK_THROWS_WITH_AS(Mesh(World::fake(0, 6), MeshShape({{"data", 2}, {"tensor", 4}})),
                       "mesh data 2 x tensor 4: 8 ranks for a world of 6. The product of the axes must be 6.",
                       ConfigError);
}

TEST_CASE("fake: one rank of 512, bytes by formula, no data") {
  const auto world = World::fake(5, 512, at::kMeta);
  const Mesh mesh(world, MeshShape({{"data", 64}, {"tensor", 8}}));
  const at::Tensor x = at::empty({16, 24}, at::TensorOptions().device(at::kMeta));
  const int64_t bytes = 16 * 24 * 4;
  all_reduce(x, mesh.group("data"));
  CHECK(all_gather(x, mesh.group("tensor"), 1).sizes() == at::IntArrayRef({16, 192}));
  CHECK(reduce_scatter(x, mesh.group("tensor"), 0).sizes() == at::IntArrayRef({2, 24}));
  CHECK(all_to_all(x, mesh.group("tensor"), 1, 0).sizes() == at::IntArrayRef({128, 3}));
  broadcast(x, mesh.all(), 6);
  broadcast(x, mesh.all(), 5);
  auto totals = world->recorder().totals();
  CHECK(totals[{"all_reduce", "data"}].bytes_sent == 2 * 63 * bytes / 64);
  CHECK(totals[{"all_gather", "tensor"}].bytes_sent == 7 * bytes);
  CHECK(totals[{"reduce_scatter", "tensor"}].bytes_sent == 7 * bytes / 8);
  CHECK(totals[{"all_to_all", "tensor"}].bytes_sent == 7 * bytes / 8);
  CHECK(totals[{"broadcast", "world"}].bytes_sent == bytes);  // the last of the chain from 6 sends nothing
  CHECK(totals[{"broadcast", "world"}].calls == 2);
}

TEST_CASE("checks: exact texts") {
  const Group group = World::fake(1, 4)->group();
  const at::Tensor x = at::zeros({6, 5});
  const auto fails = [](const std::function<void()>& call) {
    try {
      call();
    } catch (const ShapeError& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  CHECK(fails([&] { all_gather(x, group, 3); }) ==
        "all_gather over group \"world\": dim = 3 of a 2-d tensor. Allowed: -2 to 1.");
  CHECK(fails([&] { reduce_scatter(x, group, 0); }) ==
        "reduce_scatter over group \"world\": size 6 of dim 0 (shape [6, 5]) does not divide into 4 equal "
        "pieces. Nearest sizes: "
        "4 and 8.");
  CHECK(fails([&] { broadcast(x, group, 4); }) ==
        "broadcast over group \"world\": root = 4. Allowed: an index within the group, 0 to 3.");
  CHECK(fails([&] { all_reduce(at::ones({2}, at::kLong), group, ReduceOp::avg); }) ==
        "all_reduce over group \"world\": the average of int64 is not defined. Allowed: sum, max, min; or "
        "convert to float32.");
  CHECK(fails([&] { all_reduce(at::ones({2}, at::kBool), group); }) ==
        "all_reduce over group \"world\": bool has no sum or average. Allowed: max (any) and min (all); or "
        "convert to int64.");
  CHECK(fails([&] { all_reduce(at::empty({2}, at::TensorOptions().device(at::kMeta)), group); }) ==
        "all_reduce over group \"world\": input is on meta. This group works on cpu: move it there first.");
  CHECK(fails([&] { (void)all_gather_async(x, x, group); }) ==
        "all_gather over group \"world\": output has 30 elements (shape [6, 5]) and input has 30 (shape [6, "
        "5]). output must have "
        "4 x 30 = 120.");
  CHECK(fails([&] { send(x, group, 1); }) ==
        "send over group \"world\": member 1 cannot exchange with itself.");
}
