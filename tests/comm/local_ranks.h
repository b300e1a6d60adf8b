// SPDX-License-Identifier: Apache-2.0
// Members of a local group for tests: as threads or as forked processes, without a World.
//
//   local_threads(4, [](LocalBackend& backend, int index) { ... });
//   std::vector<Outcome> outcomes = local_processes(2, [](LocalBackend& backend, int index) { return 0; });
#pragma once
#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "colossal/comm/backends/local/local_backend.h"

namespace colossal::comm::local {

struct LocalTest {
  std::string group = "data";
  std::chrono::milliseconds timeout{60'000};
  std::chrono::milliseconds connect_timeout{10'000};
  Reach::Way best = Reach::Way::processes;
  int absent = 0;  // members after the n that never join
};

// Joins all threads; returns each one's error text, empty where there was none.
std::vector<std::string> local_threads(int n, const std::function<void(LocalBackend&, int)>& body,
                                       const LocalTest& test = {});

struct Outcome {
  int signal = 0;      // that ended the process
  std::string error;   // text of the exception that ended the body
  double seconds = 0;  // until the body ended; of a member that was killed in it: until it began
};

// Runs the body in one forked process per member; no operator of torch that may start threads belongs there.
// `parent` runs in the parent while the children do, with their process ids.
std::vector<Outcome> local_processes(int n, const std::function<void(LocalBackend&, int)>& body,
                                     const LocalTest& test = {},
                                     const std::function<void(const std::vector<pid_t>&)>& parent = {});

// A tensor whose bytes were never touched by a parallel operator: element i is value(i).
at::Tensor filled(int64_t count, at::ScalarType dtype, const std::function<double(int64_t)>& value);

}  // namespace colossal::comm::local
