// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/mesh.h"
#include "tests/support/error.h"

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
  const Group tensor = mesh.group("tensor");  // member 5 of 8
  all_to_all_async(at::empty_like(x), x, tensor).wait();
  gather_async(at::Tensor(), x, tensor, 0).wait();
  scatter_async(x, at::empty({128, 24}, x.options()), tensor, 5).wait();
  barrier_async(tensor).wait();
  broadcast(x, mesh.all(), 6);
  broadcast(x, mesh.all(), 5);
  auto totals = world->recorder().totals();
  CHECK(totals[{"all_reduce", "data"}].bytes_sent == 2 * 63 * bytes / 64);
  CHECK(totals[{"all_gather", "tensor"}].bytes_sent == 7 * bytes);
  CHECK(totals[{"reduce_scatter", "tensor"}].bytes_sent == 7 * bytes / 8);
  CHECK(totals[{"all_to_all", "tensor"}].bytes_sent == 2 * 7 * bytes / 8);
  CHECK(totals[{"gather", "tensor"}].bytes_sent == bytes);
  CHECK(totals[{"scatter", "tensor"}].bytes_sent == 7 * bytes);
  CHECK(totals[{"barrier", "tensor"}].calls == 1);
  CHECK(totals[{"broadcast", "world"}].bytes_sent == bytes);  // the last of the chain from 6 sends nothing
  CHECK(totals[{"broadcast", "world"}].calls == 2);
}

namespace {

std::string fails(const std::function<void()>& call) { return colossal::testing::error_of<ShapeError>(call); }

}  // namespace

TEST_CASE("checks: exact texts") {
  const Group group = World::fake(1, 4)->group();
  const at::Tensor x = at::zeros({6, 5});
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

TEST_CASE("checks: what the asynchronous functions write to and read from must be contiguous") {
  const Group group = World::fake(1, 4)->group();
  const int me = 1, other = 0;
  const at::Tensor x = at::zeros({4, 4}), out = at::zeros({4, 4}), all = at::zeros({16, 4});
  const at::Tensor loose = at::zeros({4, 4}).t(), loose_all = at::zeros({4, 16}).t();
  const std::vector<int64_t> ones(4, 1);
  const std::vector<std::pair<std::string, std::function<void()>>> calls = {
      {"all_gather: input [4, 4]", [&] { (void)all_gather_async(all, loose, group); }},
      {"all_gather: output [16, 4]", [&] { (void)all_gather_async(loose_all, x, group); }},
      {"reduce_scatter: input [16, 4]", [&] { (void)reduce_scatter_async(out, loose_all, group); }},
      {"reduce_scatter: output [4, 4]", [&] { (void)reduce_scatter_async(loose, all, group); }},
      {"all_to_all: input [4, 4]", [&] { (void)all_to_all_async(out, loose, group); }},
      {"all_to_all: output [4, 4]", [&] { (void)all_to_all_async(loose, x, group); }},
      {"all_to_all: input [4, 4]", [&] { (void)all_to_all_async(out, loose, group, ones, ones); }},
      {"all_to_all: output [4, 4]", [&] { (void)all_to_all_async(loose, x, group, ones, ones); }},
      {"gather: input [4, 4]", [&] { (void)gather_async({}, loose, group, other); }},
      {"gather: output [16, 4]", [&] { (void)gather_async(loose_all, x, group, me); }},
      {"scatter: input [16, 4]", [&] { (void)scatter_async(out, loose_all, group, me); }},
      {"scatter: output [4, 4]", [&] { (void)scatter_async(loose, {}, group, other); }},
      {"transfer: tensor to send [4, 4]",
       [&] {
         (void)transfer_async({{Transfer::Kind::send, loose, other}}, group);
       }},
      {"transfer: tensor to receive [4, 4]",
       [&] {
         (void)transfer_async({{Transfer::Kind::recv, loose, other}}, group);
       }},
  };
  for (const auto& [what, call] : calls) {
    const size_t colon = what.find(':'), shape = what.find(" [");
    CHECK(fails(call) ==
          fmt::format("{} over group \"world\":{} of shape{} is not contiguous. Call contiguous() first.",
                      what.substr(0, colon), what.substr(colon + 1, shape - colon - 1), what.substr(shape)));
  }
}

TEST_CASE("checks: outputs and counts of asynchronous exchanges, exact texts") {
  const Group group = World::fake(1, 4)->group();
  const at::Tensor x = at::zeros({4, 3}), all = at::zeros({16, 3});
  const std::vector<int64_t> ones(4, 1);
  const std::string where = " over group \"world\": ";
  const auto wrong = [](const char* what, const char* is, const char* must) {
    return fmt::format("{} is {}. It must be {}.", what, is, must);
  };
  CHECK(fails([&] {
          (void)all_to_all_async(at::zeros({4, 2}), x, group);
        }) == "all_to_all" + where + wrong("output", "float32 of shape [4, 2]", "float32 of shape [4, 3]"));
  CHECK(fails([&] {
          (void)all_to_all_async(at::zeros({4, 3}, at::kDouble), x, group);
        }) == "all_to_all" + where + wrong("output", "float64 of shape [4, 3]", "float32 of shape [4, 3]"));
  CHECK(fails([&] { (void)all_to_all_async(all.narrow(0, 0, 4), all.narrow(0, 3, 4), group); }) ==
        "all_to_all" + where + "output and input share memory. Pass tensors that do not overlap.");
  CHECK(fails([&] { (void)all_to_all_async(x, x, group, ones, ones); }) ==
        "all_to_all" + where + "output and input share memory. Pass tensors that do not overlap.");
  CHECK(fails([&] {
          (void)all_to_all_async(at::zeros({6, 3}), at::zeros({6, 3}), group);
        }) ==
        "all_to_all" + where +
            "size 6 of dim 0 (shape [6, 3]) does not divide into 4 equal pieces. Nearest sizes: 4 and 8.");
  CHECK(fails([&] {
          (void)all_to_all_async(at::zeros({4, 3}), x, group, ones, {1, 1, 2, 1});
        }) == "all_to_all" + where + wrong("output", "float32 of shape [4, 3]", "float32 of shape [5, 3]"));
  CHECK(fails([&] {
          (void)all_to_all_async(at::zeros({4, 3}), x, group, {2, 2}, ones);
        }) == "all_to_all" + where + "send_rows has 2 counts for 4 members.");
  CHECK(fails([&] {
          (void)all_to_all_async(at::zeros({4, 3}), x, group, {1, 1, 1, 2}, ones);
        }) == "all_to_all" + where + "send_rows = [1, 1, 1, 2] add up to 5, the input has 4 rows.");
  CHECK(fails([&] { (void)gather_async(x, x, group, 1); }) ==
        "gather" + where + wrong("output", "float32 of shape [4, 3]", "float32 of shape [16, 3]"));
  CHECK(fails([&] { (void)gather_async({}, x, group, 1); }) ==
        "gather" + where + "output is an undefined tensor.");
  CHECK(fails([&] { (void)gather_async(all, x, group, 4); }) ==
        "gather" + where + "root = 4. Allowed: an index within the group, 0 to 3.");
  CHECK(fails([&] { (void)scatter_async(x, x, group, 1); }) ==
        "scatter" + where + wrong("input", "float32 of shape [4, 3]", "float32 of shape [16, 3]"));
  CHECK(fails([&] { (void)scatter_async(at::zeros({}), all, group, 0); }) ==
        "scatter" + where + "a scalar has no dim to work along. Use view(1).");
}
