// SPDX-License-Identifier: Apache-2.0
// Runs a program to its end and sees everything that a user would: output, exit code, time; it may leave nothing behind.
//
//   Finished run = run_process({program, "--steps", "3"}, {.environment = {"RANK=0"}});
//   CHECK(run.exit_code == 0);
//   CHECK(count(run.output, "step ") == 3);
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

// The test case fails when the program runs into its timeout (it is killed then), or when descendants of it are alive one second after
// its end.
Finished run_process(const std::vector<std::string>& arguments, const RunOptions& options = {});

// Programs started together, as by a person in several terminals; results in the same order.
std::vector<Finished> run_together(const std::vector<std::vector<std::string>>& programs,
                                   const std::vector<RunOptions>& options);

// How often `part` stands in `text`.
int count(const std::string& text, const std::string& part);

// A port that nobody uses at the moment.
int free_port();

// Names in /dev/shm that contain `part`.
std::vector<std::string> shared_memory_named(const std::string& part);

}  // namespace colossal::testing
