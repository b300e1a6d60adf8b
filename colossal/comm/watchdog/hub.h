// SPDX-License-Identifier: Apache-2.0
// Where the heartbeats of all ranks meet. A thread of its own listens, keeps a RankStatus per rank, and when
// judge() finds the run lost says so once on stderr and to every rank.
//
//   Hub hub({.own_rank = 0, .world_size = 4, .token = token});
//   store.set("watchdog/0", address of hub.port());
//
// There are two: on rank 0 and, as its deputy, on rank 1. The deputy judges only when rank 0 has died, left
// or fallen silent, so the death of no single rank leaves the others without a watcher. Connections without
// the token are dropped. Thread safety: the constructor starts the thread, the destructor ends it; port() may
// be read from any thread.
#pragma once
#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "colossal/comm/watchdog/judge.h"
#include "colossal/comm/watchdog/line_channel.h"

namespace colossal::comm {

class Hub {
 public:
  struct Options {
    int own_rank = 0;  // 0: chief, else deputy
    int world_size = 1;
    std::string token;
    std::string address = "127.0.0.1";  // interface to listen on; empty: all
    JudgeOptions judge = {};
    std::chrono::milliseconds tick{100};
    std::filesystem::path recorder_folder = {};  // named in what is printed; empty: not
    // Gets one line or more, without the last newline; none: they go to stderr.
    std::function<void(const std::string&)> print = {};
  };
  explicit Hub(Options options);
  ~Hub();  // tells every rank that the hub closes in order

  int port() const { return port_; }

 private:
  struct Member {
    LineChannel channel;
    int rank = -1;  // -1: has not shown the token yet
    uint64_t moves = 0;
    Clock::time_point since;
  };
  struct Failure {
    int rank;
    std::string text;
    bool echo;                // looks like the effect of another one
    Clock::time_point until;  // when it is taken for the first to fail
  };

  void loop();
  void accept_members();
  void handle(Member& member, const Json& message);
  void heartbeat(Member& member, const Json& beat);
  void failed(Member& member, const Json& message);
  const Failure* first_to_fail() const;
  void let_speak(const Failure& first);
  void drop_closed();
  void forgive(Clock::duration gap);
  bool on_duty() const;
  void decide();
  std::string where_to_look(const std::string& report) const;
  void announce(const Verdict& verdict);

  Options options_;
  Listener listener_;
  int port_;
  std::vector<Member> members_;
  std::vector<RankStatus> ranks_;
  std::vector<Failure> waiting_;           // failures that another rank may have better words for
  std::optional<Clock::time_point> lost_;  // when the first connection broke
  std::optional<std::string> first_failure_;
  int speaker_ = -1;  // Verdict::speaker, once decided
  bool decided_ = false;
  Clock::time_point now_;
  Clock::time_point last_sign_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace colossal::comm
