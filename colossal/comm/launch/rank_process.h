// SPDX-License-Identifier: Apache-2.0
// One rank as the launcher sees it: a child process in a process group of its own that dies with us.
//
//   RankProcess rank = RankProcess::start({.rank = 1, .program = "/proc/self/exe", ...});
//   rank.signal(SIGTERM);
//
// Thread safety: one thread at a time.
#pragma once
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "colossal/comm/launch/line_prefixer.h"

namespace colossal::comm {

struct RankProcess {
  struct Start {
    int rank = 0;
    std::string program;
    std::vector<std::string> arguments;
    std::vector<std::string> environment;  // "NAME=value"
    int keep_fd = -1;                      // stays open in the child
    sigset_t signal_mask;                  // of the child
  };
  // Forks and executes. The output of ranks other than 0 comes through pipes. Throws CommError.
  static RankProcess start(const Start& start);

  // To the whole process group of the rank; nothing when it has ended.
  void signal(int number);
  // Somebody has stopped it (SIGSTOP): it cannot end by itself.
  bool stopped() const;
  // True once the process has ended; then `status` and `peak_bytes` hold how.
  bool reap();

  int rank = 0;
  pid_t pid = -1;
  bool running = false;
  bool killed_by_us = false;
  int status = 0;         // as waitpid() gives it
  double peak_bytes = 0;  // largest resident set
  std::vector<LinePrefixer> output;
};

}  // namespace colossal::comm
