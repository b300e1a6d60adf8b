// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/mesh.h"
#include "colossal/comm/run_ranks.h"

using namespace colossal;
using namespace colossal::comm;

TEST_CASE("run_ranks: every rank takes part once") {
  std::vector<int> seen(4, 0);
  run_ranks(4, [&](std::shared_ptr<World> world) {
    const at::Tensor x = at::full({3}, 1.0 + world->rank(), at::kDouble);
    all_reduce(x, world->group());
    CHECK(x.equal(at::full({3}, 10.0, at::kDouble)));
    ++seen[world->rank()];
  });
  CHECK(seen == std::vector<int>(4, 1));
}

TEST_CASE("run_ranks: a group that lives on one host is local, where nobody asks for another backend") {
  for (const auto& [asked, name] : std::vector<std::pair<BackendKind, std::string>>{
           {BackendKind::automatic, "local"}, {BackendKind::local, "local"}, {BackendKind::gloo, "gloo"}}) {
    run_ranks(2,
              [&, name = name](std::shared_ptr<World> world) {
                CHECK(world->group().backend() == name);
                const Mesh mesh(world, MeshShape({{"data", 2}, {"tensor", 1}}));
                CHECK(mesh.group("data").backend() == name);
                CHECK(mesh.group("tensor").backend() == "none");
              },
              {.backend = asked});
  }
  CHECK(World::fake(0, 2)->group().backend() == "fake");
}

TEST_CASE("run_ranks: groups of a mesh") {
  run_ranks(4, [&](std::shared_ptr<World> world) {
    const Mesh mesh(world, MeshShape({{"data", 2}, {"tensor", 2}}));
    const at::Tensor x = at::full({2}, 1.0 * world->rank());
    const at::Tensor rows = all_gather(x, mesh.group("tensor"));
    CHECK(rows[0].item<float>() == world->rank() / 2 * 2);
    CHECK(rows[3].item<float>() == world->rank() / 2 * 2 + 1);
    all_reduce(x, mesh.group("data"));
    CHECK(x[0].item<float>() == 2 * (world->rank() % 2) + 2);
    CHECK(mesh.group({"data", "tensor"}).size() == 4);
    CHECK(all_gather_json(Json(world->rank()), mesh.all()) == std::vector<Json>{0, 1, 2, 3});
  });
}

TEST_CASE("run_ranks: the first failure stops the others and names its rank") {
  const auto begin = std::chrono::steady_clock::now();
  CHECK_THROWS_WITH_AS(run_ranks(3,
                                 [](std::shared_ptr<World> world) {
                                   barrier(world->group());
                                   if (world->rank() == 1) throw IoError("disk full");
                                   barrier(world->group());
                                 }),
                       "rank 1: disk full", IoError);
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
}
