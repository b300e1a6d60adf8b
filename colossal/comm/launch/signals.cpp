// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/signals.h"

#include <unistd.h>

#include <atomic>
#include <csignal>
#include <mutex>
#include <string_view>

#include "colossal/comm/launch/environment.h"

namespace colossal::comm {
namespace {

constexpr int kSignals[] = {SIGTERM, SIGHUP, SIGINT, SIGUSR1};

// A handler can reach nothing but process-wide state; lock-free atomics are safe in it.
// NOLINTBEGIN(cppcoreguidelines-avoid-non-const-global-variables)
std::atomic<bool> save_asked{false};
std::atomic<int> stop{0};
std::atomic<bool> says{false}, on_terminal{false};
// Handlers belong to the process, and so does what they replaced.
std::mutex handlers_mutex;
int num_objects = 0;
struct sigaction previous[std::size(kSignals)];
// NOLINTEND(cppcoreguidelines-avoid-non-const-global-variables)
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free);

// Only what a signal handler may call.
void say_safely(std::string_view text) {
  if (!says.load()) return;
  constexpr std::string_view kClear = "\r\033[K";
  [[maybe_unused]] ssize_t n = on_terminal.load() ? ::write(STDERR_FILENO, kClear.data(), kClear.size()) : 0;
  n = ::write(STDERR_FILENO, text.data(), text.size());
}

void on_signal(int signal) {
  save_asked.store(true);
  if (signal == SIGUSR1) return;
  const bool again = stop.exchange(signal) == SIGINT;
  if (signal != SIGINT) return;
  if (!again)
    return say_safely(
        "colossal: interrupted: stopping in order after this step. Ctrl-C again ends the run at once.\n");
  say_safely("colossal: interrupted twice: ended at once, unsaved work is lost.\n");
  std::signal(SIGINT, SIG_DFL);
  raise(SIGINT);
}

bool is_first_without_launcher() {
  try {
    const RankEnvironment environment = environment_from_launcher();
    return environment.rank == 0 && environment.launcher != "colossal";
  } catch (const std::exception&) {
    return true;
  }
}

}  // namespace

SignalFlags::SignalFlags() {
  std::lock_guard lock(handlers_mutex);
  if (num_objects++ > 0) return;
  save_asked = false;
  stop = 0;
  says = is_first_without_launcher();
  on_terminal = isatty(STDERR_FILENO) == 1;
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (size_t i = 0; i < std::size(kSignals); i++) {
    sigaction(kSignals[i], nullptr, &previous[i]);
    const bool nohup = kSignals[i] == SIGHUP && previous[i].sa_handler == SIG_IGN;
    if (!nohup) sigaction(kSignals[i], &action, nullptr);
  }
}

SignalFlags::~SignalFlags() {
  std::lock_guard lock(handlers_mutex);
  if (--num_objects > 0) return;
  for (size_t i = 0; i < std::size(kSignals); i++) sigaction(kSignals[i], &previous[i], nullptr);
}

bool SignalFlags::take_save_request() { return save_asked.exchange(false); }
bool SignalFlags::stop_requested() const { return stop.load() != 0; }

}  // namespace colossal::comm
