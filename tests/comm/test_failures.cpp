// SPDX-License-Identifier: Apache-2.0
#include "backends.h"
#include "colossal/base/error.h"
#include "colossal/comm/backends/gloo/agreement.h"
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
      [](const Group& g) {
        const std::vector<int64_t> even(3, 100'000), more{100'000, 100'000, 100'001};
        all_to_all(at::ones({300'000}), g, even, g.index() == 1 ? more : even);
      },
      [](const Group& g) {  // short, and only sent by both roots; then long
        broadcast(at::ones({4}), g, g.index() == 1 ? 1 : 0);
        all_reduce(at::ones({400'000}), g);
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
  for (const int64_t count : {4, 400'000}) {
    run_ranks(
        2,
        [count](std::shared_ptr<World> world) {
          const Group group = world->group();
          barrier(group);
          const std::string text = colossal::testing::error_of<CommError>(
              [&] { all_reduce(at::ones({count + world->rank()}), group); });
          const std::string here =
              "members disagree: here all_reduce number 2 of {} bytes float32 (sum), on rank {} all_reduce "
              "number 2 of {} bytes float32 (sum) (noticed by rank {})";
          const std::string head =
              fmt::format("all_reduce #2 of group \"world\" on rank {} failed: ", world->rank());
          const int64_t less = count * 4, more = less + 4;
          const bool by_0 = text == head + fmt::format(fmt::runtime(here), less, 1, more, 0);
          const bool by_1 = text == head + fmt::format(fmt::runtime(here), more, 0, less, 1);
          CHECK_MESSAGE((by_0 || by_1), text);
        },
        gloo());
  }
}

TEST_CASE("a member that comes late is waited for, whatever it is waited for with") {
  const std::vector<std::function<void(Group, at::Tensor)>> calls = {
      [](const Group& g, at::Tensor x) { all_reduce(x, g); },
      [](const Group& g, at::Tensor x) { broadcast(x, g, 0); },
      [](const Group& g, at::Tensor x) { broadcast(x, g, 1); },
      [](const Group& g, at::Tensor x) { x.copy_(all_to_all(x, g)); },
      [](const Group& g, at::Tensor x) { g.index() == 0 ? send(x, g, 1) : recv(x, g, 0); },
      [](const Group& g, at::Tensor x) { g.index() == 1 ? send(x, g, 0) : recv(x, g, 1); },
  };
  run_ranks(
      2,
      [&](std::shared_ptr<World> world) {
        const Group group = world->group();
        for (size_t i = 0; i <= calls.size(); ++i) {
          const at::Tensor x = at::ones({i == calls.size() ? 4 : 400'000});
          if (world->rank() == 1) {
            CHECK_THROWS_AS(world->store().get("never", std::chrono::milliseconds(250)), CommError);
          }
          calls[i % calls.size()](group, x);
          CHECK(x.eq(i % calls.size() == 0 ? 2 : 1).all().item<bool>());
        }
      },
      gloo());
}

TEST_CASE("tags of messages over Gloo: others where anything but the piece is") {
  History history;
  const Header header{.sequence = 1, .bytes = 400'000, .op = kAllReduce, .dtype = 6, .reduce = 0};
  history.remember(header);
  const auto tag = [&](auto change, int64_t channel = 0) {
    Header h = header;
    change(h);
    const int64_t result = payload_tag(history, h, channel);
    CHECK(result >= 1);
    CHECK(result <= 0x7fffffff);
    return result;
  };
  const int64_t same = tag([](Header&) {});
  CHECK(same == tag([](Header&) {}));
  for (uint64_t bytes = 1; bytes < 1000; ++bytes) {
    CHECK(same != tag([=](Header& h) { h.bytes += bytes; }));
    CHECK(same != tag([=](Header& h) { h.bytes = bytes << 20; }));
  }
  CHECK(same != tag([](Header& h) { h.op = kBroadcast; }));
  CHECK(same != tag([](Header& h) { h.dtype = 7; }));
  CHECK(same != tag([](Header& h) { h.reduce = 1; }));
  CHECK(same != tag([](Header& h) { h.root = 1; }));
  CHECK(same != tag([](Header&) {}, 1));
  // What came before counts, and is found again.
  History other = history, third = history;
  Header next = header;
  next.sequence = 2;
  history.remember(next);
  next.root = 0;
  other.remember(next);
  CHECK(payload_tag(history, next, 0) == payload_tag(other, next, 0));
  CHECK(history.digest_before_last() == other.digest_before_last());
  CHECK_FALSE(third.first_difference(history).has_value());
  for (uint64_t s = 3; s < 60; ++s) {
    next.sequence = s;
    history.remember(next);
    other.remember(next);
    CHECK(payload_tag(history, next, 0) != payload_tag(other, next, 0));
  }
  const auto difference = history.first_difference(other);
  REQUIRE(difference.has_value());
  CHECK(difference->first.sequence == 2);
  CHECK(difference->first.root == -1);
  CHECK(difference->second.root == 0);
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
        "recv #2 of group \"world\" on rank 1 failed: members disagree: here transfer of {} bytes {}, on "
        "rank 0 "
        "transfer of {} bytes {} (noticed by rank 1)",
        expected.nbytes(), dtype_name(expected.scalar_type()), sent.nbytes(), dtype_name(sent.scalar_type()));
    run_ranks(
        2,
        [&, sent = sent, expected = expected](std::shared_ptr<World> world) {
          const Group group = world->group();
          barrier(group);  // short messages are expected on both sides from now on
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
