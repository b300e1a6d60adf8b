// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <random>

#include "colossal/base/error.h"
#include "colossal/tensor/layout.h"

using namespace colossal;
using namespace colossal::tensor;

namespace {

const MeshShape kMesh({{"data", 2}, {"row", 2}, {"column", 3}});

std::string problem(const std::function<void()>& body) {
  try {
    body();
  } catch (const ShapeError& e) {
    return e.what();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("a dim sharded over two axes is split outermost first") {
  const Layout layout({12, 5}, kMesh, {{"row", "column"}, {}});
  CHECK(layout.local_shape() == Shape{2, 5});
  CHECK(layout.numel() == 60);
  CHECK(layout.local_numel() == 10);
  for (int rank = 0; rank < kMesh.size(); ++rank) {
    const auto c = kMesh.coordinate(rank);
    CHECK(layout.slice(rank) == Slice{{(c[1] * 3 + c[2]) * 2, 0}, {2, 5}});
  }
  const Layout swapped({12, 5}, kMesh, {{"column", "row"}, {}});
  CHECK(swapped.slice(kMesh.rank({0, 1, 2})) == Slice{{(2 * 2 + 1) * 2, 0}, {2, 5}});
}

TEST_CASE("replicas, owners and descriptions") {
  const Layout layout({4, 6}, kMesh, {{"row"}, {}}, {"column"});
  CHECK(layout.is_sharded());
  CHECK(layout.replicated_axes() == Axes{"data"});
  CHECK(layout.sharded_axes() == Axes{"row"});
  CHECK(layout.num_replicas() == 2);
  CHECK_FALSE(layout.is_replicated_over("row"));
  CHECK_FALSE(layout.is_replicated_over("column"));
  CHECK(layout.is_owner(kMesh.rank({0, 1, 2})));
  CHECK_FALSE(layout.is_owner(kMesh.rank({1, 0, 0})));
  CHECK(layout.describe() == "[4/row, 6] partial(column)");
  CHECK(Layout({12}, kMesh, {{"row", "column"}}).describe() == "[12/row/column]");
  CHECK(layout.with_partial({}).replicated_axes() == Axes{"data", "column"});
  CHECK(Layout().local_numel() == 1);
  CHECK(Layout().is_owner(0));
  CHECK_FALSE(Layout({3}, MeshShape({{"data", 1}}), {{"data"}}).is_sharded());
}

TEST_CASE("a padded dim is cut as if it were rounded up; slices stay inside the logical tensor") {
  const MeshShape four({{"tensor", 4}});
  const Layout vocabulary = Layout::padded({127, 64}, four, {{"tensor"}, {}});
  CHECK(vocabulary.is_padded());
  CHECK(vocabulary.shape() == Shape{127, 64});
  CHECK(vocabulary.padded_shape() == Shape{128, 64});
  CHECK(vocabulary.local_shape() == Shape{32, 64});
  CHECK(vocabulary.numel() == 127 * 64);
  CHECK(vocabulary.local_numel() == 32 * 64);
  CHECK(vocabulary.slice(0) == Slice{{0, 0}, {32, 64}});
  CHECK(vocabulary.slice(3) == Slice{{96, 0}, {31, 64}});
  CHECK(vocabulary.describe() == "[127 (128)/tensor, 64]");
  // Five rows over four ranks: the last one holds none.
  const Layout short_of_one = Layout::padded({5}, four, {{"tensor"}});
  CHECK(short_of_one.slice(1) == Slice{{2}, {2}});
  CHECK(short_of_one.slice(2) == Slice{{4}, {1}});
  CHECK(short_of_one.slice(3) == Slice{{5}, {0}});
  CHECK(Layout::padded({1}, four, {{"tensor"}}).slice(3) == Slice{{1}, {0}});

  const Layout two_axes = Layout::padded({4, 7}, kMesh, {{}, {"row", "column"}}, {"data"});
  CHECK(two_axes.describe() == "[4, 7 (12)/row/column] partial(data)");
  CHECK(two_axes.with_partial({}).describe() == "[4, 7 (12)/row/column]");
  CHECK(two_axes.with_shape({5}, {{"column"}}).describe() == "[5 (6)/column] partial(data)");
  CHECK_FALSE(two_axes.with_shape({6}, {{"column"}}).is_padded());
}

TEST_CASE("padding that is not needed is no padding") {
  CHECK(Layout::padded({12, 5}, kMesh, {{"row"}, {}}) == Layout({12, 5}, kMesh, {{"row"}, {}}));
  CHECK(Layout::padded({7}, MeshShape({{"tensor", 1}}), {{"tensor"}}) ==
        Layout({7}, MeshShape({{"tensor", 1}}), {{"tensor"}}));
  CHECK_FALSE(Layout::padded({12, 5}, kMesh, {{"row"}, {}}).is_padded());
  CHECK(problem([] { Layout::padded({4}, kMesh, {{"row"}}).with_shape({5}, {{"row"}}); }) ==
        "layout of [5]: dim 0 of size 5 does not divide by 2 (row). Nearest sizes that do: 4 and 6.");
}

TEST_CASE("the owned slices tile the logical tensor exactly once, whatever the mesh") {
  std::mt19937 random(1);
  for (int trial = 0; trial < 50; ++trial) {
    const MeshShape mesh(
        {{"a", 1 + int(random() % 3)}, {"b", 1 + int(random() % 3)}, {"c", 1 + int(random() % 2)}});
    Shape shape(2);
    std::vector<Axes> dims(2);
    for (const comm::Axis& axis : mesh.axes()) {
      if (random() % 3 < 2) dims[random() % 2].push_back(axis.name);
    }
    for (int d = 0; d < 2; ++d) shape[d] = 1 + random() % 20;
    const Layout layout = Layout::padded(shape, mesh, dims);
    std::vector<int> covered(layout.numel(), 0);
    for (int rank = 0; rank < mesh.size(); ++rank) {
      if (!layout.is_owner(rank)) continue;
      const Slice s = layout.slice(rank);
      for (int64_t i = 0; i < s.size[0]; ++i) {
        for (int64_t j = 0; j < s.size[1]; ++j) ++covered[(s.offset[0] + i) * shape[1] + s.offset[1] + j];
      }
    }
    CHECK(covered == std::vector<int>(layout.numel(), 1));
  }
}

TEST_CASE("layouts that cannot be are refused by name") {
  CHECK(problem([] {
          Layout({4, 7}, kMesh, {{}, {"column"}});
        }) ==
        "layout of [4, 7]: dim 1 of size 7 does not divide by 3 (column). Nearest sizes that do: 6 and 9.");
  CHECK(problem([] { Layout({4}, kMesh, {{"rwo"}}); }) ==
        "layout of [4]: the mesh (data 2 x row 2 x column 3) has no axis \"rwo\". Did you mean \"row\"?");
  CHECK(problem([] {
          Layout({4, 4}, kMesh, {{"row"}, {"row"}});
        }) ==
        "layout of [4, 4]: axis \"row\" is used twice. An axis shards one dim, or is partial, or holds "
        "replicas.");
  CHECK(problem([] {
          Layout({4, 4}, kMesh, {{"row"}, {}}, {"row"});
        }) ==
        "layout of [4, 4]: axis \"row\" is used twice. An axis shards one dim, or is partial, or holds "
        "replicas.");
  CHECK(problem([] {
          Layout({4, 4}, kMesh, {{"row"}});
        }) == "layout of [4, 4]: axes for 1 dims were given. Give one list for each of the 2 dims.");
  CHECK(problem([] { Layout({-1}, kMesh, {{}}); }) == "layout of [-1]: dim 0 is negative.");
}
