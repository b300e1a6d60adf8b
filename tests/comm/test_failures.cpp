// SPDX-License-Identifier: Apache-2.0
#include "backends.h"
#include "colossal/base/error.h"
#include "colossal/comm/checks.h"
#include "tests/support/error.h"

using namespace colossal;
using namespace colossal::comm;

namespace {

WorldOptions gloo() {
  WorldOptions options;
  options.backend = BackendKind::gloo;
  options.timeout = std::chrono::seconds(30);
  return options;
}

}  // namespace

TEST_CASE("members that disagree get an error on all ranks, and the group is dead") {
  const std::vector<std::function<void(Group)>> wrongs = {
      [](const Group& g) { all_reduce(at::ones({g.index() == 1 ? 5 : 4}), g); },
      [](const Group& g) { all_reduce(at::ones({g.index() == 1 ? 500'000 : 4}), g); },
      [](const Group& g) { all_reduce(at::ones({g.index() == 1 ? 500'000 : 400'000}), g); },
      [](const Group& g) { all_reduce(at::ones({4}, g.index() == 1 ? at::kInt : at::kFloat), g); },
      [](const Group& g) { all_reduce(at::ones({4}), g, g.index() == 1 ? ReduceOp::max : ReduceOp::sum); },
      [](const Group& g) { broadcast(at::ones({400'000}), g, g.index() == 1 ? 1 : 0); },
      [](const Group& g) { g.index() == 1 ? barrier(g) : all_reduce(at::ones({400'000}), g); },
      [](const Group& g) {
        all_to_all(at::ones({4}), g, {2, 1, 1},
                   g.index() == 1   ? std::vector<int64_t>{2, 1, 1}
                   : g.index() == 0 ? std::vector<int64_t>{2, 2, 2}
                                    : std::vector<int64_t>{1, 1, 1});
      },
  };
  for (const auto& wrong : wrongs) {
    run_ranks(
        3,
        [&](std::shared_ptr<World> world) {
          const Group group = world->group();
          // A member whose own exchanges all agreed (uneven all_to_all) learns it from its next call.
          std::string text = colossal::testing::error_of<CommError>([&] { wrong(group); });
          text += "; " + colossal::testing::error_of<CommError>([&] { barrier(group); });
          CHECK(text.find("of group \"world\" on rank") != std::string::npos);
          CHECK_MESSAGE(text.find("members disagree: here") != std::string::npos, text);
          CHECK(colossal::testing::error_of<CommError>([&] {
                  barrier(group);
                }).find("the group is dead since an earlier failure") != std::string::npos);
        },
        gloo());
  }
}

TEST_CASE("the text of a disagreement") {
  run_ranks(
      2,
      [](std::shared_ptr<World> world) {
        const Group group = world->group();
        barrier(group);
        const std::string text = colossal::testing::error_of<CommError>(
            [&] { all_reduce(at::ones({world->rank() == 1 ? 5 : 4}), group); });
        const std::string here =
            "members disagree: here all_reduce number 2 of {} bytes float32 (sum), on rank {} all_reduce "
            "number 2 of {} bytes float32 (sum) (noticed by rank {})";
        const std::string head =
            fmt::format("all_reduce #2 of group \"world\" on rank {} failed: ", world->rank());
        const bool by_0 = text == head + fmt::format(fmt::runtime(here), 16, 1, 20, 0);
        const bool by_1 = text == head + fmt::format(fmt::runtime(here), 20, 0, 16, 1);
        CHECK_MESSAGE((by_0 || by_1), text);
      },
      gloo());
}

TEST_CASE("two roots, each of which only sends: the next call tells which collective they disagree about") {
  const std::vector<std::pair<std::string, std::function<void(Group, int)>>> wrongs = {
      {"broadcast", [](const Group& g, int other) { broadcast(at::ones({4}), g, 1 - other); }},
      {"scatter", [](const Group& g, int other) { scatter(at::ones({8}), at::ones({4}), g, 1 - other); }},
      {"gather", [](const Group& g, int other) { gather(at::ones({4}), g, other); }},
  };
  for (const auto& [op, wrong] : wrongs) {
    run_ranks(
        2,
        [&, op = op, wrong = wrong](std::shared_ptr<World> world) {
          const Group group = world->group();
          const int other = 1 - world->rank();
          barrier(group);
          wrong(group, other);
          const std::string text = colossal::testing::error_of<CommError>([&] { barrier(group); });
          const std::string head =
              fmt::format("barrier #3 of group \"world\" on rank {} failed: ", world->rank());
          const auto told_by = [&](int here) {
            const auto root = [&](int rank) { return op == "gather" ? 1 - rank : rank; };
            return fmt::format(
                "members disagree: here {0} number 2 of 16 bytes float32 with root {1}, on rank {2} {0} "
                "number 2 of 16 "
                "bytes float32 with root {3} (noticed by rank {4})",
                op, root(here), 1 - here, root(1 - here), here);
          };
          CHECK_MESSAGE((text == head + told_by(0) || text == head + told_by(1)), text);
        },
        gloo());
  }
}

TEST_CASE("send and recv that disagree: nothing is overrun, the receiver says why, the sender learns it") {
  const std::vector<std::pair<at::Tensor, at::Tensor>> wrongs = {
      {at::ones({5}), at::ones({4})},
      {at::ones({4}), at::ones({4}, at::kInt)},
      {at::ones({400'000}), at::ones({4})},
      {at::ones({4}), at::ones({400'000})},
      {at::ones({500'000}), at::ones({400'000})},
      {at::ones({400'000}), at::ones({400'000}, at::kInt)},
  };
  for (const auto& [sent, expected] : wrongs) {
    const std::string cause = fmt::format(
        "recv #1 of group \"world\" on rank 1 failed: members disagree: here transfer of {} bytes {}, on "
        "rank 0 "
        "transfer of {} bytes {} (noticed by rank 1)",
        expected.nbytes(), dtype_name(expected.scalar_type()), sent.nbytes(), dtype_name(sent.scalar_type()));
    run_ranks(
        2,
        [&, sent = sent, expected = expected](std::shared_ptr<World> world) {
          const Group group = world->group();
          if (world->rank() == 1) {
            const at::Tensor guarded = at::zeros({expected.numel() + 1}, expected.options());
            const std::string text = colossal::testing::error_of<CommError>(
                [&] { recv(guarded.narrow(0, 0, expected.numel()), group, 0); });
            CHECK(text == cause);
            CHECK(guarded[expected.numel()].item<int>() == 0);
          } else {
            std::string text = colossal::testing::error_of<CommError>([&] { send(sent, group, 1); });
            text += "; " + colossal::testing::error_of<CommError>([&] { barrier(group); });
            CHECK_MESSAGE(text.find(cause.substr(cause.find("members"))) != std::string::npos, text);
          }
        },
        gloo());
  }
}

TEST_CASE("a silent member: timeout on the others") {
  WorldOptions options = gloo();
  options.timeout = std::chrono::seconds(1);
  CHECK_THROWS_AS(run_ranks(
                      2,
                      [](std::shared_ptr<World> world) {
                        const Group group = world->group();
                        barrier(group);
                        if (world->rank() == 0) barrier(group);
                        if (world->rank() == 1) world->store().get("never", std::chrono::seconds(20));
                      },
                      options),
                  CommError);
}
