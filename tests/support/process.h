// SPDX-License-Identifier: Apache-2.0
// Runs a program to its end and sees everything that a user would: output, exit code, time, and what it leaves behind.
//
//   Finished run = run_process({program, "--steps", "3"}, {.environment = {"RANK=0"}});
//   CHECK(run.exit_code == 0);
//
// Thread safety: one run at a time per process (it adopts orphans).
#pragma once
#include <chrono>
#include <string>
#include <vector>

namespace colossal::testing {

struct Finished {
  int exit_code = 0;       // 128 + n for signal n
  std::string output;      // stdout and stderr as they came
  double seconds = 0;      // until the program itself has ended
  double cpu_seconds = 0;  // that the program and those of its children that it waited for have used
  int num_orphans = 0;     // descendants that were alive one second after its end (killed then)
  bool timed_out = false;
};

// A signal that is sent once the output since the signal before it contains `after`.
struct SignalAfter {
  int signal = 0;
  std::string after = {};
  int rank = -1;  // of the child to be hit, which knows itself by COLOSSAL_RANK; -1: the program itself
};

struct RunOptions {
  std::vector<std::string> environment = {};  // "NAME=value" on top of ours, minus any variable of a launcher
  std::chrono::seconds timeout{60};
  std::vector<SignalAfter> signals = {};  // one after the other
};

Finished run_process(const std::vector<std::string>& arguments, const RunOptions& options = {});

// Programs started together, as by a person in several terminals; results in the same order.
std::vector<Finished> run_together(const std::vector<std::vector<std::string>>& programs,
                                   const std::vector<RunOptions>& options);

// A port that nobody uses at the moment.
int free_port();

// Names in /dev/shm that contain `part`.
std::vector<std::string> shared_memory_named(const std::string& part);

}  // namespace colossal::testing
