// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/signals.h"

#include <atomic>
#include <csignal>
#include <mutex>

namespace colossal::comm {
namespace {

constexpr int kSignals[3] = {SIGTERM, SIGINT, SIGUSR1};

// A handler can reach nothing but process-wide state; lock-free atomics are safe in it.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> save{false};
std::atomic<int> stop{0};
// Handlers belong to the process, and so does what they replaced.
std::mutex handlers_mutex;
int num_objects = 0;
struct sigaction previous[3];
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

void on_signal(int signal) {
  save.store(true);
  if (signal == SIGUSR1) return;
  if (stop.exchange(signal) == SIGINT && signal == SIGINT) {
    std::signal(SIGINT, SIG_DFL);
    raise(SIGINT);
  }
}

}  // namespace

SignalFlags::SignalFlags() {
  std::lock_guard lock(handlers_mutex);
  if (num_objects++ > 0) return;
  save = false;
  stop = 0;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (int i = 0; i < 3; i++) sigaction(kSignals[i], &action, &previous[i]);
}

SignalFlags::~SignalFlags() {
  std::lock_guard lock(handlers_mutex);
  if (--num_objects > 0) return;
  for (int i = 0; i < 3; i++) sigaction(kSignals[i], &previous[i], nullptr);
}

bool SignalFlags::save_requested() const { return save.load(); }
bool SignalFlags::take_save_request() { return save.exchange(false); }
bool SignalFlags::stop_requested() const { return stop.load() != 0; }
int SignalFlags::stop_signal() const { return stop.load(); }

}  // namespace colossal::comm
