// SPDX-License-Identifier: Apache-2.0
// Flight recorder: counts every collective of one rank and keeps the last ones in a ring buffer.
//
//   recorder.totals();          // per (op, group): calls, bytes, seconds
//   recorder.dump();            // JSON of the last `capacity` entries, newest last
//
// Thread-safe.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "colossal/base/json.h"

namespace colossal::comm {

struct RecorderEntry {
  uint64_t sequence = 0;        // per rank, counts from 1
  uint64_t group_sequence = 0;  // per group: equal on all members for the same collective
  std::string_view op;          // "all_reduce"; a literal
  std::string group;            // axes, "data" or "data+row"
  int group_id = -1;            // what Recorder::join() gave for the group
  std::vector<int64_t> shape;
  std::string_view dtype;  // "float32"; a literal
  int64_t bytes_sent = 0;  // by this rank, from the volume formula of the op
  std::chrono::steady_clock::time_point started;
  double seconds = -1;        // issue to completion; -1: not finished
  double waited_seconds = 0;  // time this rank's thread was blocked in wait()
};

class Recorder {
 public:
  struct Total {
    int64_t calls = 0;
    int64_t bytes_sent = 0;
    double seconds = 0;
    double waited_seconds = 0;
  };
  explicit Recorder(size_t capacity = 2048) : capacity_(capacity) {}

  // A group that this rank is a member of; `key` is the same on all members and different for every other group.
  int join(std::string key);

  uint64_t begin(RecorderEntry entry);  // returns the sequence number
  void end(uint64_t sequence, double waited_seconds);
  // The rank's thread is now blocked until this collective has finished; 0: it goes on.
  void blocked_in(uint64_t sequence) { blocked_.store(sequence, std::memory_order_relaxed); }

  // For the watchdog.
  struct GroupProgress {
    std::string key;
    uint64_t newest = 0;  // group_sequence of the newest collective; 0: none yet
  };
  struct Progress {
    uint64_t moves = 0;                 // grows whenever a collective begins or ends
    uint64_t blocked = 0;               // see blocked_in()
    std::optional<RecorderEntry> last;  // the one the rank is blocked in, else the newest
    std::vector<GroupProgress> groups;  // by group_id
  };
  Progress progress() const;

  std::map<std::pair<std::string, std::string>, Total> totals() const;  // key: (op, group)
  Total total() const;                                                  // over everything
  std::vector<RecorderEntry> entries() const;                           // oldest first
  Json dump() const;
  void reset();  // forgets entries and totals; sequence numbers go on

 private:
  mutable std::mutex mutex_;
  size_t capacity_;
  uint64_t next_ = 1;
  uint64_t moves_ = 0;
  std::atomic<uint64_t> blocked_{0};
  uint64_t first_ = 1;                 // oldest since the last reset()
  std::vector<GroupProgress> groups_;  // by group_id
  std::vector<RecorderEntry> ring_;    // empty, or `capacity` slots: entry of sequence s at s % capacity
  std::map<std::pair<std::string, std::string_view>, Total> totals_;  // key: (group, op)
};

}  // namespace colossal::comm
