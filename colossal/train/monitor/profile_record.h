// SPDX-License-Identifier: Apache-2.0
// What a profiled rank recorded, and its two forms.
//
//   write_file_durably(path, chrome_trace(record));
//   fmt::print("{}", profile_summary(record));
//
// Thread-safe: pure functions.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "colossal/comm/recorder.h"

namespace colossal::train {

struct ProfileRecord {
  using Time = std::chrono::steady_clock::time_point;
  struct Operator {
    std::string name = {};
    uint64_t thread = 0;
    bool backward = false;  // a node of the autograd graph, not an operator
    Time start = {}, end = {};
  };
  struct Phase {
    std::string name = {};
    Time start = {}, end = {};
  };
  struct Step {
    int64_t step = 0;
    Time start = {}, end = {};
  };
  int rank = 0;
  std::vector<Operator> operators = {};
  std::vector<Phase> phases = {};
  std::vector<Step> steps = {};
  std::vector<comm::RecorderEntry> collectives = {};  // finished ones, by issue
  int64_t num_dropped_operators = 0;                  // beyond the limit
  int64_t num_dropped_collectives = 0;                // more in one step than the flight recorder holds
};

// When the rank had collected the result of a finished collective.
ProfileRecord::Time finished(const comm::RecorderEntry& entry);

// chrome://tracing and ui.perfetto.dev read it. Microseconds of the steady clock: ranks of one host share the axis. A
// process per rank; a row for steps, for phases, for every thread's operators, and for collectives from issue until
// collected (as many rows as overlap).
std::string chrome_trace(const ProfileRecord& record);

// Two tables: milliseconds per step in matrix products, attention, norms, loss, ...; forward and backward. And of collectives, by kind and
// mesh axes: for how long they were in flight (those at the same time add up), and for how much of it the rank was blocked.
std::string profile_summary(const ProfileRecord& record);

}  // namespace colossal::train
