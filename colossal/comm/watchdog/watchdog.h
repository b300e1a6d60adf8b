// SPDX-License-Identifier: Apache-2.0
// One rank's end of failure detection: a thread that reports this rank's progress to the hubs (hub.h) ten
// times a second and, when they find the run lost, makes everything on this rank fail with the reason.
//
//   world->watchdog()->set_step(step);                              // so that messages can name it
//   if (watchdog.report(error.what(), code)) print(error.what());   // once over all ranks; report_failure() does it
//
// Nothing here depends on a rank that is still well: no store, no collective. Thread-safe.
#pragma once
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "colossal/comm/recorder.h"
#include "colossal/comm/watchdog/hub.h"

namespace colossal::comm {

class Watchdog {
 public:
  struct Address {
    int rank = 0;  // whose hub it is
    std::string host;
    int port = 0;
  };
  struct Options {
    int rank = 0;
    std::string token;
    std::vector<Address> hubs;  // chief first
    std::shared_ptr<Recorder> recorder;
    std::function<void(const std::string& reason)> abort;  // makes this rank's collectives fail
    std::chrono::milliseconds timeout{600'000};
    std::chrono::milliseconds tick{100};
    // After a verdict the rank has this long to end in order; then the process ends at once with the
    // verdict's code.
    std::chrono::milliseconds grace{3'000};
    std::chrono::milliseconds connect_timeout{10'000};
    std::filesystem::path recorder_folder = {};  // for dump.h; empty: nothing is written
    std::unique_ptr<Hub> hub;                    // the one that runs on this rank, if any
  };
  explicit Watchdog(Options options);  // CommError when a hub cannot be reached
  ~Watchdog();                         // says goodbye; during stack unwinding says that this rank fails

  // Also sent at once, at most a hundred times a second, so that a message about a dead rank names its true step.
  void set_step(int64_t step);

  // This rank ends with an error: tells the others, which stop. True when this rank should print the message:
  // it is the first to fail, or fails for a reason of its own. Of what is found_by_all_ranks() that is rank 0, and a
  // rank that alone finds it waits 1.5 s for the others. Takes up to 3 s when the cause is still being found out.
  bool report(const std::string& message, ExitCode code);

  // Set once the run is lost for a reason outside this rank.
  std::optional<Verdict> verdict() const;

 private:
  struct Hubward {
    LineChannel channel;
    int rank = 0;
    bool closed_in_order = false;
    Clock::time_point heard;
  };

  void loop();
  void listen(Hubward& hub);
  void beat();
  void watch_the_hubs();
  enum class Dump { no, yes };
  void pass(Verdict verdict, Dump dump);
  void wake();
  bool work_was_done();

  Options options_;
  std::vector<Hubward> hubs_;
  Socket wake_;
  std::atomic<int64_t> step_{-1};
  Clock::time_point last_step_sent_;  // set_step()'s own
  std::atomic<bool> beat_now_{false};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<Verdict> verdict_;
  std::optional<Json> outgoing_;  // failure to be sent
  std::optional<bool> speak_;
  bool stop_ = false;

  // The thread's own.
  std::optional<Clock::time_point> deadline_, orphaned_;
  Clock::time_point last_beat_;
  double work_seconds_ = 0;
  int64_t disk_blocks_ = 0;
  uint64_t blocked_ = 0;  // collective that the rank is blocked in, and since when
  Clock::time_point blocked_since_;
  double waited_seconds_ = -1;
  std::thread thread_;
};

}  // namespace colossal::comm
