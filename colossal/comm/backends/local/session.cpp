// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/session.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <cstring>
#include <ctime>

#include "colossal/base/error.h"

namespace colossal::comm::local {
namespace {

constexpr auto kNap = std::chrono::milliseconds(100);

void futex_wait(std::atomic<uint32_t>& word, uint32_t seen, std::chrono::nanoseconds limit, bool& timed_out) {
  const timespec time{static_cast<time_t>(limit.count() / 1'000'000'000),
                      static_cast<long>(limit.count() % 1'000'000'000)};
  const long rc = syscall(SYS_futex, &word, FUTEX_WAIT, seen, &time, nullptr, 0);
  timed_out = rc != 0 && errno == ETIMEDOUT;
}

void futex_wake(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

uint32_t number(Status status) { return static_cast<uint32_t>(status); }

}  // namespace

Session::Session(const Place& place)
    : group_(place.group), ranks_(place.ranks), index_(place.index), timeout_(place.timeout) {
  if (place.size() > kMaxMembers) {
    throw CommError(
        fmt::format("local backend: group \"{}\" has {} members. Allowed: up to {}. Use comm.backend = "
                    "\"gloo\".",
                    group_, place.size(), kMaxMembers));
  }
  join(place);
  // Spinning (up to one or two milliseconds, in which 4 MiB are copied) pays only where every rank has a core of its own; elsewhere
  // another one may need this. To yield where there are enough cores would hand a time slice to whatever else runs on the host.
  const bool crowded = share_cores();
  max_spins_ = crowded ? 0 : 32768;
  max_yields_ = crowded ? 512 : 0;
  spins_[static_cast<int>(Lane::caller)] = max_spins_;
}

// The same answer on all members: how data moves depends on it. Members that may all use the same cores share them with the other ranks
// of this host; those that are bound to different ones have these to themselves.
bool Session::share_cores() const {
  cpu_set_t all = self().cores;
  bool bound = false;
  int ranks = size();
  for (int i = 0; i < size(); ++i) {
    const Member& member = segment_.member(i);
    bound = bound || !CPU_EQUAL(&member.cores, &self().cores);
    CPU_OR(&all, &all, &member.cores);
    ranks = std::max(ranks, member.host_ranks);
  }
  return (bound ? size() : ranks) > CPU_COUNT(&all);
}

void Session::join(const Place& place) {
  if (index_ == 0) {
    segment_ = Segment::create(place.size());
    place.tell(segment_.ticket());
  } else {
    segment_ = Segment::attach(place.hear(), place.size());
  }
  Member& me = self();
  me.pid = getpid();
  me.started = process_started(me.pid);
  sched_getaffinity(0, sizeof me.cores, &me.cores);
  me.host_ranks = place.host_ranks;
  me.status.store(number(Status::present), std::memory_order_release);
  std::atomic<uint32_t>& attached = segment_.attached();
  attached.fetch_add(1);
  futex_wake(attached);
  const auto deadline = Clock::now() + place.connect_timeout;
  for (uint32_t seen; (seen = attached.load()) < static_cast<uint32_t>(size());) {
    const auto left = deadline - Clock::now();
    if (left <= left.zero()) {
      std::string missing;
      for (int i = 0; i < size(); ++i) {
        if (segment_.member(i).status.load() == number(Status::absent)) {
          missing += (missing.empty() ? "" : ", ") + who(i);
        }
      }
      throw CommError(fmt::format("local backend: group \"{}\": {} did not join within {:.1f} s.", group_,
                                  missing, std::chrono::duration<double>(place.connect_timeout).count()));
    }
    bool timed_out = false;
    futex_wait(attached, seen, left, timed_out);
  }
  segment_.close_ticket();
  threads_ = true;
  for (int i = 0; i < size(); ++i) {
    const Member& member = segment_.member(i);
    threads_ = threads_ && member.pid == me.pid && member.started == me.started;
  }
}

Session::~Session() {
  if (segment_.size() == 0) {
    return;
  }
  uint32_t present = number(Status::present);
  self().status.compare_exchange_strong(present, number(Status::left));
  ring_everyone();
}

std::string Session::who(int peer) const { return fmt::format("rank {}", ranks_.at(peer)); }

void Session::ring() const {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  for (int i = 0; i < size(); ++i) {
    for (Sleeper& sleeper : segment_.member(i).sleepers) {
      if (i == index_ || sleeper.asleep.load(std::memory_order_relaxed) == 0) {
        continue;
      }
      const int32_t awaited = sleeper.waits_for.load(std::memory_order_relaxed);
      if (awaited == index_ || awaited == kAnyMember) {
        sleeper.bell.fetch_add(1);
        futex_wake(sleeper.bell);
      }
    }
  }
}

void Session::ring_everyone() const noexcept {
  for (int i = 0; i < size(); ++i) {
    for (Sleeper& sleeper : segment_.member(i).sleepers) {
      sleeper.bell.fetch_add(1);
      futex_wake(sleeper.bell);
    }
  }
}

void Session::nap(Sleeper& sleeper, uint32_t bell, bool& timed_out) const {
  futex_wait(sleeper.bell, bell, std::min<std::chrono::nanoseconds>(kNap, timeout_), timed_out);
}

void Session::check(Task& task, bool timed_out, Clock::duration waited) {
  if (!alive()) {
    throw_own_failure(task.title());
  }
  for (int i = 0; i < size(); ++i) {
    const Member& member = segment_.member(i);
    const uint32_t status = member.status.load(std::memory_order_acquire);
    if (i == index_) {
      continue;
    }
    if (status == number(Status::failed)) {
      fail(member.reason);
    }
    if (status == number(Status::left) && task.missing(i)) {
      fail(fmt::format("{}: {} left the group.", task.title(), who(i)));
    }
    if (timed_out && member.pid != self().pid && task.missing(i) &&
        process_started(member.pid) != member.started) {
      fail(fmt::format("{}: {} (process {}) died.", task.title(), who(i), member.pid));
    }
  }
  if (waited < timeout_) {
    return;
  }
  std::string missing;
  for (int i = 0; i < size(); ++i) {
    if (i != index_ && task.missing(i)) {
      missing += (missing.empty() ? "" : ", ") + who(i);
    }
  }
  fail(fmt::format("{}: {} waited {:.1f} s for {}.", task.title(), who(index_),
                   std::chrono::duration<double>(timeout_).count(), missing));
}

bool Session::mark_failed(const std::string& reason) noexcept {
  Member& me = self();
  uint32_t present = number(Status::present);
  if (!me.status.compare_exchange_strong(present, number(Status::failing))) {
    return false;
  }
  std::strncpy(me.reason, reason.c_str(), sizeof me.reason - 1);
  me.status.store(number(Status::failed));
  ring_everyone();
  return true;
}

void Session::fail(const std::string& reason) {
  mark_failed(reason);
  outlast_readers();
  throw CommError(reason);
}

// The caller will free the tensors of the failed operation: not before the threads that read them have noticed.
void Session::outlast_readers() const {
  for (int i = 0; threads_ && i < size(); ++i) {
    while (i != index_ && segment_.member(i).touching.load() != 0) {
      sched_yield();
    }
  }
}

void Session::throw_own_failure(const std::string& title) const {
  outlast_readers();
  const bool written = self().status.load(std::memory_order_acquire) == number(Status::failed);
  throw CommError(fmt::format("{}: the group has failed: {}", title, written ? self().reason : "aborted"));
}

void Session::abort() noexcept { mark_failed(fmt::format("group \"{}\": {} gave up.", group_, who(index_))); }

void Session::begin_touching() {
  if (!threads_) {
    return;
  }
  self().touching.store(1);
  for (int i = 0; i < size(); ++i) {
    const uint32_t status = segment_.member(i).status.load();
    if (status == number(Status::failing) || status == number(Status::failed)) {
      end_touching();
      fail(fmt::format("group \"{}\": {} failed.", group_, who(i)));
    }
  }
}

}  // namespace colossal::comm::local
