// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/comm/watchdog/judge.h"

namespace colossal::comm {
namespace {

using namespace std::chrono_literals;
using Link = RankStatus::Link;

const Clock::time_point kStart = Clock::time_point(1h);
const JudgeOptions kOptions{.timeout = 3s, .connect_timeout = 10s};

// All alive, at step 17, in the middle of work, everything just now.
std::vector<RankStatus> healthy(int n, Clock::time_point now = kStart) {
  RankStatus s{.link = Link::alive,
               .step = 17,
               .last = "all_reduce #35 on data [1024]",
               .waiting = false,
               .wait_began = now,
               .heard = now,
               .moved = now,
               .active = now,
               .link_changed = now};
  return std::vector<RankStatus>(n, s);
}

void wait_since(RankStatus& s, Clock::time_point began) {
  s.waiting = true;
  s.wait_began = s.moved = s.active = began;
}

TEST_CASE("a healthy run is left alone") { CHECK(judge(healthy(4), kStart + 1s, kOptions) == std::nullopt); }

TEST_CASE("a lost connection names rank, step and last collective") {
  auto ranks = healthy(4);
  ranks[2].link = Link::lost;
  const auto verdict = judge(ranks, kStart, kOptions);
  REQUIRE(verdict);
  CHECK(verdict->code == ExitCode::peer_lost);
  CHECK(verdict->reason == "rank 2 died at step 17 (last: all_reduce #35 on data [1024])");
  CHECK(verdict->report == verdict->reason);
  ranks[3].link = Link::lost;
  CHECK(judge(ranks, kStart, kOptions)->reason ==
        "rank 2 died at step 17 (last: all_reduce #35 on data [1024]); so did rank 3");
}

TEST_CASE("the others know the step better than the last heartbeat of the dead") {
  auto ranks = healthy(3);
  ranks[1].link = Link::lost;
  ranks[1].step = 15;
  ranks[1].last = "all_reduce #31 on data [1024]";
  ranks[2].step = 18;
  CHECK(judge(ranks, kStart, kOptions)->reason ==
        "rank 1 died at step 17 (others in: all_reduce #35 on data [1024])");
}

TEST_CASE("a stopped rank is a hang after the timeout, not before, and every rank is listed") {
  auto ranks = healthy(3);
  const auto now = kStart + 3100ms;
  for (int r : {0, 2}) {
    wait_since(ranks[r], kStart);
    ranks[r].heard = now;
  }
  CHECK(judge(ranks, kStart + 2900ms, kOptions) == std::nullopt);
  const auto verdict = judge(ranks, now, kOptions);
  REQUIRE(verdict);
  CHECK(verdict->code == ExitCode::hang);
  CHECK(verdict->report ==
        "hang: no collective has moved for 3.1 s (comm.timeout_seconds = 3). rank 1 does not respond "
        "(stopped, or the "
        "host is gone): missing from all_reduce #35 on data [1024]\n"
        "  rank 0: step 17, waits in all_reduce #35 on data [1024] for 3.1 s\n"
        "  rank 1: step 17, last heard of 3.1 s ago in or after all_reduce #35 on data [1024]   <- missing\n"
        "  rank 2: step 17, waits in all_reduce #35 on data [1024] for 3.1 s");
}

TEST_CASE("a rank that works is waited for, up to twenty timeouts") {
  auto ranks = healthy(2);
  wait_since(ranks[0], kStart);
  for (auto after : {4s, 30s, 59s}) {
    ranks[0].heard = ranks[1].heard = ranks[1].active = kStart + after;
    CHECK(judge(ranks, kStart + after, kOptions) == std::nullopt);
  }
  ranks[0].heard = ranks[1].heard = ranks[1].active = kStart + 61s;
  CHECK(judge(ranks, kStart + 61s, kOptions)->code == ExitCode::hang);
}

TEST_CASE("a rank that idles outside the collective is missing from it") {
  auto ranks = healthy(2);
  wait_since(ranks[0], kStart);
  const auto now = kStart + 4s;
  ranks[0].heard = ranks[1].heard = now;
  const auto verdict = judge(ranks, now, kOptions);
  REQUIRE(verdict);
  CHECK(verdict->reason ==
        "hang: no collective has moved for 4.0 s (comm.timeout_seconds = 3). rank 1 does not come to "
        "all_reduce #35 on data [1024]");
}

TEST_CASE("any movement anywhere restarts the clock") {
  auto ranks = healthy(3);
  wait_since(ranks[0], kStart);
  const auto now = kStart + 5s;
  for (auto& s : ranks) s.heard = now;
  ranks[1].moved = kStart + 4s;
  CHECK(judge(ranks, now, kOptions) == std::nullopt);
}

TEST_CASE("all ranks wait for different collectives") {
  auto ranks = healthy(2);
  const auto now = kStart + 4s;
  for (auto& s : ranks) wait_since(s, kStart), s.heard = now;
  ranks[1].last = "barrier #36 on data []";
  CHECK(judge(ranks, now, kOptions)->reason ==
        "hang: no collective has moved for 4.0 s (comm.timeout_seconds = 3). all ranks wait, but not for "
        "each other: they "
        "have issued different collectives");
}

// Ranks 0 and 2 wait in #35 of the world; rank 1 is in its own group "data" with rank 3, where numbers are higher.
std::vector<RankStatus> two_groups(Clock::time_point now) {
  auto ranks = healthy(4);
  for (auto& s : ranks) {
    s.last = "all_reduce #35 on world [3]";
    s.group = "world.0-4-aa";
    s.sequence = 35;
    s.issued = {{"world.0-4-aa", 35}};
    wait_since(s, kStart);
    s.heard = now;
  }
  for (int r : {1, 3}) ranks[r].issued["data.1-2-bb"] = 70;
  ranks[1].last = "all_reduce #70 on data [1024]";
  ranks[1].group = "data.1-2-bb";
  ranks[1].sequence = 70;
  ranks[1].issued["world.0-4-aa"] = 34;
  ranks[1].waiting = false;
  return ranks;
}

TEST_CASE("a rank whose last collective was in another group is placed by its number in the pending one") {
  const auto now = kStart + 4s;
  const auto verdict = judge(two_groups(now), now, kOptions);
  REQUIRE(verdict);
  CHECK(verdict->report ==
        "hang: no collective has moved for 4.0 s (comm.timeout_seconds = 3). rank 1 does not come to "
        "all_reduce #35 on world "
        "[3]\n"
        "  rank 0: step 17, waits in all_reduce #35 on world [3] for 4.0 s\n"
        "  rank 1: step 17, finished all_reduce #70 on data [1024] 4.0 s ago; on world it is at #34   <- "
        "missing\n"
        "  rank 2: step 17, waits in all_reduce #35 on world [3] for 4.0 s\n"
        "  rank 3: step 17, waits in all_reduce #35 on world [3] for 4.0 s");
}

TEST_CASE("only members of a group can be missing from it, and others may wait for those that are held up") {
  const auto now = kStart + 4s;
  auto ranks = two_groups(now);
  // Rank 3 waits for rank 1 in their own group, the world for both, and has waited longer.
  ranks[3].last = "all_reduce #71 on data [1024]";
  ranks[3].group = "data.1-2-bb";
  ranks[3].sequence = 71;
  ranks[3].issued = {{"world.0-4-aa", 34}, {"data.1-2-bb", 71}};
  ranks[3].wait_began = kStart - 1s;
  const auto verdict = judge(ranks, now, kOptions);
  REQUIRE(verdict);
  CHECK(verdict->report ==
        "hang: no collective has moved for 4.0 s (comm.timeout_seconds = 3). rank 1 does not come to "
        "all_reduce #71 on data "
        "[1024]\n"
        "  rank 0: step 17, waits in all_reduce #35 on world [3] for 4.0 s\n"
        "  rank 1: step 17, finished all_reduce #70 on data [1024] 4.0 s ago   <- missing\n"
        "  rank 2: step 17, waits in all_reduce #35 on world [3] for 4.0 s\n"
        "  rank 3: step 17, waits in all_reduce #71 on data [1024] for 5.0 s");
  // A rank outside of the group idles, too: nobody waits for it there.
  ranks[0].waiting = false;
  ranks[0].issued = {{"world.0-4-aa", 35}};
  CHECK(
      judge(ranks, now, kOptions)->reason.ends_with("rank 1 does not come to all_reduce #71 on data [1024]"));
}

TEST_CASE("leaving in order is no failure unless somebody waits for the one who left") {
  auto ranks = healthy(2);
  ranks[1].link = Link::left;
  const auto now = kStart + 2500ms;
  ranks[0].heard = now;
  CHECK(judge(ranks, now, kOptions) == std::nullopt);
  wait_since(ranks[0], kStart);
  CHECK(judge(ranks, kStart + 1s, kOptions) == std::nullopt);
  CHECK(judge(ranks, now, kOptions)->reason ==
        "rank 1 left at step 17 (last: all_reduce #35 on data [1024]), but rank 0 waits in all_reduce #35 on "
        "data [1024]");
}

TEST_CASE("a rank that never connects") {
  auto ranks = healthy(2);
  ranks[1].link = Link::absent;
  CHECK(judge(ranks, kStart + 9s, kOptions) == std::nullopt);
  CHECK(judge(ranks, kStart + 11s, kOptions)->reason == "rank 1 died while connecting");
}

}  // namespace
}  // namespace colossal::comm
