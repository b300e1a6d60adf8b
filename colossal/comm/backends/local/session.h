// SPDX-License-Identifier: Apache-2.0
// One member's place in a shared segment: joining, waiting, waking, and what happens when somebody is lost.
//
//   Session session(place);                             // blocks until all members are there
//   session.wait(lane, peer, [&] { return word.load() >= target; }, task);
//   session.fail("all_reduce #3 on \"data\": ...");     // tells everybody and throws CommError
//
// A wait spins briefly, yields, then sleeps on a futex. While it sleeps it looks every 0.1 s whether the others
// are alive. Thread safety: wait() from one thread per lane, abort() from any thread.
#pragma once
#include <sched.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "colossal/comm/backends/local/segment.h"

namespace colossal::comm::local {

// Which of a member's two threads waits: the caller's, or the one that runs overlapped operations.
enum class Lane { caller, overlapped };

// What a thread waits for, asked only when the wait gets long.
class Task {
 public:
  virtual std::string title() const = 0;     // "all_reduce #12 on \"data\""
  virtual bool missing(int peer) const = 0;  // is that member late?
  virtual void idle() {}                     // may do other work of this thread

 protected:
  ~Task() = default;
};

// Where this member stands in a group that is being created.
struct Place {
  std::string group;       // "data", for messages
  std::vector<int> ranks;  // world ranks by index
  int index = 0;
  int host_ranks = 0;  // of the run on this host, inside and outside the group; 0: not known
  std::chrono::milliseconds timeout{600'000};  // of every wait
  std::chrono::milliseconds connect_timeout{10'000};
  std::function<void(const std::string&)> tell;  // index 0: gives the others one string
  std::function<std::string()> hear;  // the others: blocks for it; throws CommError when it takes too long

  int size() const { return static_cast<int>(ranks.size()); }
};

class Session {
 public:
  explicit Session(const Place& place);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  int size() const { return segment_.size(); }
  int index() const { return index_; }
  const std::string& group() const { return group_; }
  const Segment& segment() const { return segment_; }
  Member& self() const { return segment_.member(index_); }
  bool threads() const { return threads_; }         // all members share this address space
  bool crowded() const { return max_yields_ > 0; }  // more ranks than cores
  bool alive() const {
    return self().status.load(std::memory_order_relaxed) == static_cast<uint32_t>(Status::present);
  }
  std::string who(int peer) const;  // "rank 3"

  // Wakes the members that sleep until this one makes progress. Call after publishing.
  void ring() const;

  // Returns when ready() holds. `peer` is the member that will make it true, or kAnyMember.
  template <class Ready>
  void wait(Lane lane, int32_t peer, const Ready& ready, Task& task) {
    if (!ready() && !spin(lane, ready)) {
      sleep_until(lane, peer, ready, task);
    }
  }

  [[noreturn]] void fail(const std::string& reason);
  [[noreturn]] void throw_own_failure(const std::string& title) const;
  void abort() noexcept;

  // Between these two no other thread's memory may be freed by an error: see fail().
  void begin_touching();
  void end_touching() const { self().touching.store(0, std::memory_order_release); }

 private:
  using Clock = std::chrono::steady_clock;
  void join(const Place& place);
  bool share_cores() const;
  bool mark_failed(const std::string& reason) noexcept;
  void ring_everyone() const noexcept;
  void outlast_readers() const;
  Sleeper& sleeper(Lane lane) const { return self().sleepers[static_cast<int>(lane)]; }
  void nap(Sleeper& sleeper, uint32_t bell, bool& timed_out) const;
  void check(Task& task, bool timed_out, Clock::duration waited);

  template <class Ready>
  bool spin(Lane lane, const Ready& ready) {
    int& budget = spins_[static_cast<int>(lane)];
    for (int i = 0; i < budget; ++i) {
#if defined(__x86_64__)
      __builtin_ia32_pause();
#endif
      if (ready()) {
        budget = std::min(2 * budget, max_spins_);
        return true;
      }
    }
    for (int i = 0; i < max_yields_; ++i) {
      sched_yield();
      if (ready()) {
        return true;
      }
    }
    budget = std::max(budget / 2, std::min(budget, max_spins_ / 4));
    return false;
  }

  template <class Ready>
  void sleep_until(Lane lane, int32_t peer, const Ready& ready, Task& task) {
    struct Awake {
      Sleeper& sleeper;
      ~Awake() { sleeper.asleep.store(0, std::memory_order_relaxed); }
    };
    Sleeper& me = sleeper(lane);
    Awake awake{me};
    const auto start = Clock::now();
    bool timed_out = false;
    while (true) {
      const uint32_t bell = me.bell.load(std::memory_order_acquire);
      me.waits_for.store(peer, std::memory_order_relaxed);
      me.asleep.store(
          1, std::memory_order_seq_cst);  // before the last look: the other side publishes, then looks
      std::atomic_thread_fence(std::memory_order_seq_cst);
      if (ready()) {
        return;
      }
      check(task, timed_out, Clock::now() - start);
      nap(me, bell, timed_out);
      me.asleep.store(0, std::memory_order_relaxed);
      task.idle();
      if (ready()) {
        return;
      }
    }
  }

  std::string group_;
  std::vector<int> ranks_;
  int index_;
  std::chrono::milliseconds timeout_;
  bool threads_ = false;
  int max_spins_ = 0;
  int max_yields_ = 0;
  int spins_[kSleepers] = {0, 0};
  Segment segment_;
};

}  // namespace colossal::comm::local
