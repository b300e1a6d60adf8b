// SPDX-License-Identifier: Apache-2.0
// What a hub answers to ranks that end with an error.
#include <doctest/doctest.h>
#include <poll.h>

#include "colossal/comm/watchdog/hub.h"

namespace colossal::comm {
namespace {

using namespace std::chrono_literals;

LineChannel member(const Hub& hub, int rank) {
  LineChannel channel(connect_to("127.0.0.1", hub.port(), Clock::now() + 5s));
  channel.send({{"hello", "token"}, {"rank", rank}});
  return channel;
}

// The next message with this key, or null after five seconds.
Json answer(LineChannel& channel, const std::string& key) {
  const Clock::time_point deadline = Clock::now() + 5s;
  while (channel.open() && Clock::now() < deadline) {
    while (std::optional<Json> message = channel.next())
      if (message->contains(key)) return (*message)[key];
    pollfd readable = {channel.fd(), POLLIN, 0};
    poll(&readable, 1, 100);
    channel.receive();
  }
  return nullptr;
}

Json failure(const std::string& text, ExitCode code = ExitCode::failure) {
  return {{"fail", text}, {"code", static_cast<int>(code)}};
}

TEST_CASE("one rank speaks: the first to fail; others only with words of their own") {
  Hub hub({.world_size = 3, .token = "token"});
  std::vector<LineChannel> ranks;
  for (int r = 0; r < 3; r++) ranks.push_back(member(hub, r));
  ranks[1].send(failure("disk full"));
  CHECK(answer(ranks[1], "speak") == true);
  CHECK(answer(ranks[0], "speaker") == 1);
  ranks[0].send(failure("disk full"));
  CHECK(answer(ranks[0], "speak") == false);
  ranks[2].send(failure("corpus.bin: unreadable"));
  CHECK(answer(ranks[2], "speak") == true);
}

TEST_CASE("what all ranks find is said by rank 0, whoever comes first") {
  for (const ExitCode code : {ExitCode::config, ExitCode::numerics, ExitCode::preempted}) {
    Hub hub({.world_size = 2, .token = "token"});
    LineChannel zero = member(hub, 0), one = member(hub, 1);
    one.send(failure("stopped", code));
    std::this_thread::sleep_for(20ms);
    zero.send(failure("stopped", code));
    CHECK(answer(zero, "speak") == true);
    CHECK(answer(one, "speaker") == 0);
  }
}

// Rank 0 may have left before the deputy on rank 1 gets to read what the chief has answered already.
TEST_CASE("a deputy that comes late to a decision answers as the chief did") {
  for (const int speaker : {1, 2}) {
    Hub deputy({.own_rank = 1, .world_size = 3, .token = "token"});
    LineChannel zero = member(deputy, 0), one = member(deputy, 1);
    zero.send({{"decided", "disk full"}, {"speaker", speaker}});
    zero.send({{"bye", true}});
    std::this_thread::sleep_for(50ms);
    one.send(failure("disk full"));
    CHECK(answer(one, "speak") == (speaker == 1));
  }
}

}  // namespace
}  // namespace colossal::comm
