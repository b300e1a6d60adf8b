// SPDX-License-Identifier: Apache-2.0
// Decides from what every rank last said whether the run is lost, and words the reason. Pure: no sockets, no
// clock.
//
//   std::optional<Verdict> verdict = judge(ranks, now, {.timeout = 600s});
//
// A hang is: some rank has waited in a collective longer than the timeout, no rank has begun or finished a
// collective in that time, and nobody is on the way to one. A rank outside any collective that uses the
// processor or the disk is on the way (a slow first step, a slow rank), for up to 20 timeouts. A stopped
// process or a dead host says nothing at all. Who is missing from a collective is told by the numbers that the
// members of its group have reached in that group. Thread-safe: pure functions over values.
#pragma once
#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/error.h"
#include "colossal/comm/launch/socket.h"

namespace colossal::comm {

// One rank as the hub knows it. Times are on the hub's clock.
struct RankStatus {
  enum class Link {
    absent,  // has not connected yet
    alive,
    left,  // said goodbye: ended in order
    lost,  // its connection broke without a goodbye: the process is gone
  } link = Link::absent;
  int64_t step = -1;       // -1: none yet
  std::string last;        // newest collective, "all_reduce #35 on data [1024]"; empty: none yet
  std::string group = {};  // that it is of, with its members: "data.0-2-5a..."; empty: not known
  uint64_t sequence = 0;   // its number in that group: only numbers of one group can be compared
  std::map<std::string, uint64_t> issued = {};  // newest number in each group of the rank, 0: none yet
  bool waiting = false;                         // blocked in it
  Clock::time_point wait_began;                 // when waiting
  Clock::time_point heard;                      // last message
  Clock::time_point moved;                      // last time a collective began or finished
  Clock::time_point active;                     // last time it used processor or disk
  Clock::time_point link_changed;               // connected, left or lost
};

struct Verdict {
  ExitCode code = ExitCode::peer_lost;  // or ExitCode::hang
  std::string reason;                   // one line
  std::string report;                   // `reason`, for a hang with one line per rank below
  int speaker = -1;  // the rank whose own words tell the cause; -1: the hub prints the report
  bool operator==(const Verdict&) const = default;
};

struct JudgeOptions {
  std::chrono::milliseconds timeout{600'000};
  std::chrono::milliseconds connect_timeout{10'000};  // for ranks that are still absent
};

std::optional<Verdict> judge(const std::vector<RankStatus>& ranks, Clock::time_point now,
                             const JudgeOptions& options);

// "at step 17 (last: all_reduce #35 on data [1024])"
std::string describe_position(const RankStatus& status);

}  // namespace colossal::comm
