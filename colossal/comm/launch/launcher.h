// SPDX-License-Identifier: Apache-2.0
// Starts the ranks of one host: this program again, once per rank, and looks after them until the last has
// ended.
//
//   if (environment_from_launcher().launcher == "single" && num_ranks > 1)
//     return launch_local(num_ranks, {argv, argv + argc});
//
// Call it before torch, OpenMP or any thread has started: it forks. Every rank finds its RankEnvironment in
// COLOSSAL_* variables; rank 0 inherits the listening socket of the store, so no port is chosen twice.
// OMP_NUM_THREADS, if unset, becomes cores / ranks. Output: rank 0 keeps the terminal (its progress bar
// works); lines of the others arrive whole, with "[rank 1] " in front. Signals: SIGINT, SIGTERM, SIGHUP,
// SIGUSR1, SIGUSR2 are passed on; a second SIGINT kills the ranks (exit code 130); Ctrl-Z stops and `fg` continues them.
// Ranks die with the launcher, even by kill -9. Thread safety: one call at a time per process.
#pragma once
#include <chrono>
#include <string>
#include <vector>

namespace colossal::comm {

struct LaunchOptions {
  std::string program = "/proc/self/exe";
  // After the first failure the other ranks get this long to stop by themselves; then they are killed.
  std::chrono::milliseconds grace{6'000};
};

// Returns the exit code for main(): 0 when every rank returned 0, else that of the first rank that failed on
// its own account (128 + n for signal n) rather than because of another rank (ExitCode::peer_lost). Says on
// stderr, in one line, which rank that was and which others stopped after it. CommError when no process can
// be started.
int launch_local(int num_ranks, const std::vector<std::string>& arguments, const LaunchOptions& options = {});

// How a rank's end reads: "was killed by signal 9 (SIGKILL; it had used 1.2 GiB)", "ended with exit code 3". Guesses that memory ran out
// where a SIGKILLed rank had used more than a quarter of `share_bytes`, its part of the memory of the host.
std::string describe_exit(int wait_status, double peak_bytes, double share_bytes);

}  // namespace colossal::comm
