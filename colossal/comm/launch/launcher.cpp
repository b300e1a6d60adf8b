// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/launcher.h"

#include <poll.h>
#include <sched.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "colossal/base/error.h"
#include "colossal/base/host.h"
#include "colossal/base/text.h"
#include "colossal/comm/launch/rank_process.h"

namespace colossal::comm {
namespace {

int usable_cores() {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
}

bool is_ignored(int number) {
  struct sigaction found = {};
  return sigaction(number, nullptr, &found) == 0 && found.sa_handler == SIG_IGN;
}

std::string random_name() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

// Ours without COLOSSAL_*, then what every rank gets.
std::vector<std::string> common_environment(int num_ranks, int port) {
  std::vector<std::string> result;
  bool threads_set = false;
  for (char** e = environ; *e != nullptr; e++) {
    const std::string_view entry = *e;
    static constexpr std::string_view kOwn[] = {"COLOSSAL_RANK=", "COLOSSAL_WORLD_SIZE=", "COLOSSAL_JOB=",
                                                "COLOSSAL_MASTER_PORT=", "COLOSSAL_STORE_FD="};
    threads_set |= entry.starts_with("OMP_NUM_THREADS=");
    if (std::none_of(std::begin(kOwn), std::end(kOwn), [&](auto own) { return entry.starts_with(own); }))
      result.emplace_back(entry);
  }
  result.push_back(fmt::format("COLOSSAL_WORLD_SIZE={}", num_ranks));
  result.push_back(fmt::format("COLOSSAL_MASTER_PORT={}", port));
  result.push_back("COLOSSAL_JOB=" + random_name());
  if (!threads_set)
    result.push_back(fmt::format("OMP_NUM_THREADS={}", std::max(1, usable_cores() / num_ranks)));
  return result;
}

std::string rank_list(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); i++)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  return text;
}

int exit_code_of(int status) { return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status); }

class Launcher {
 public:
  Launcher(int num_ranks, const std::vector<std::string>& arguments, const LaunchOptions& options)
      : options_(options) {
    block_signals();
    start(num_ranks, arguments);
  }
  ~Launcher() {
    for (RankProcess& rank : ranks_) rank.signal(SIGKILL);
    for (RankProcess& rank : ranks_)
      if (rank.running) waitpid(rank.pid, nullptr, 0);
    sigprocmask(SIG_SETMASK, &found_mask_, nullptr);
  }

  int run() {
    while (std::any_of(ranks_.begin(), ranks_.end(), [](const RankProcess& r) { return r.running; })) {
      wait_for_events();
      handle_signals();
      for (RankProcess& rank : ranks_) {
        for (LinePrefixer& output : rank.output) output.pump();
        if (rank.reap()) ended_.push_back(&rank);
      }
      watch_over_survivors();
    }
    return summarize();
  }

 private:
  void block_signals() {
    sigset_t ours;
    sigemptyset(&ours);
    for (int s : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGCHLD, SIGTSTP, SIGCONT, SIGPIPE}) sigaddset(&ours, s);
    if (!is_ignored(SIGHUP)) sigaddset(&ours, SIGHUP);  // a blocked one would come in spite of nohup
    sigprocmask(SIG_BLOCK, &ours, &found_mask_);
    sigdelset(&ours, SIGPIPE);  // write() reports it
    signals_ = Socket(signalfd(-1, &ours, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  void start(int num_ranks, const std::vector<std::string>& arguments) {
    Listener store = listen_on("127.0.0.1", 0);
    const std::vector<std::string> common = common_environment(num_ranks, store.port);
    ranks_.reserve(num_ranks);
    for (int r = 0; r < num_ranks; r++) {
      RankProcess::Start start{.rank = r,
                               .program = options_.program,
                               .arguments = arguments,
                               .environment = common,
                               .keep_fd = -1,
                               .signal_mask = found_mask_};
      start.environment.push_back(fmt::format("COLOSSAL_RANK={}", r));
      if (r == 0) {
        start.environment.push_back(fmt::format("COLOSSAL_STORE_FD={}", store.socket.fd()));
        start.keep_fd = store.socket.fd();
      }
      ranks_.push_back(RankProcess::start(start));
    }
  }

  void wait_for_events() {
    std::vector<pollfd> fds = {{signals_.fd(), POLLIN, 0}};
    for (RankProcess& rank : ranks_)
      for (LinePrefixer& output : rank.output)
        if (output.open()) fds.push_back({output.fd(), POLLIN, 0});
    // The tick only matters while survivors are on their deadline.
    poll(fds.data(), fds.size(), deadline_ ? 50 : -1);
  }

  void handle_signals() {
    signalfd_siginfo info{};
    while (::read(signals_.fd(), &info, sizeof(info)) == sizeof(info)) {
      const int number = static_cast<int>(info.ssi_signo);
      if (number == SIGCHLD) continue;
      if (number == SIGTSTP) {
        send(SIGSTOP);
        raise(SIGSTOP);
      } else if (number == SIGINT && interrupts_++ > 0) {
        if (interrupts_ == 2) say("interrupted twice: the ranks were ended at once, unsaved work is lost");
        send(SIGKILL);
      } else {
        if (number == SIGINT)
          say("interrupted: waiting for the ranks to stop in order. Ctrl-C again ends them at once");
        asked_to_stop_ |= number == SIGINT || number == SIGTERM || number == SIGHUP;
        send(number);
      }
    }
  }

  // Over a progress bar and the ^C that a terminal echoes.
  static void say(const std::string& text) {
    write_all(STDERR_FILENO,
              fmt::format("{}colossal: {}.\n", isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "", text));
  }

  void send(int number) {
    for (RankProcess& rank : ranks_) rank.signal(number);
  }

  void watch_over_survivors() {
    if (!deadline_ && std::any_of(ended_.begin(), ended_.end(), [](auto* r) { return r->status != 0; }))
      deadline_ = Clock::now() + options_.grace;
    if (!deadline_) return;
    for (RankProcess& rank : ranks_)
      if (rank.running && (rank.stopped() || Clock::now() > *deadline_)) rank.signal(SIGKILL);
  }

  // The rank whose failure is the cause: the first that neither followed another one nor was killed by us.
  const RankProcess* culprit() const {
    const RankProcess* first = nullptr;
    for (const RankProcess* rank : ended_) {
      if (rank->status == 0 || rank->killed_by_us) continue;
      if (exit_code_of(rank->status) != static_cast<int>(ExitCode::peer_lost)) return rank;
      if (first == nullptr) first = rank;
    }
    if (first != nullptr) return first;
    for (const RankProcess* rank : ended_)
      if (rank->status != 0) return rank;
    return nullptr;
  }

  int summarize() const {
    const RankProcess* cause = culprit();
    if (cause == nullptr) return 0;
    if (interrupts_ > 1) return 128 + SIGINT;
    const int code = exit_code_of(cause->status);
    const bool alike =
        std::all_of(ended_.begin(), ended_.end(), [&](auto* r) { return r->status == cause->status; });
    // What the user asked for, or what all ranks have decided and said alike, needs no explanation.
    if (asked_to_stop_ || (alike && !WIFSIGNALED(cause->status))) return code;
    std::vector<int> followed, killed, early;
    for (const RankProcess& rank : ranks_) {
      if (rank.killed_by_us)
        killed.push_back(rank.rank);
      else if (&rank != cause && rank.status != 0)
        followed.push_back(rank.rank);
    }
    if (ended_.front()->status == 0 && code == static_cast<int>(ExitCode::peer_lost))
      early.push_back(ended_.front()->rank);
    std::string text;
    if (code == static_cast<int>(ExitCode::hang)) {
      text += fmt::format("stopped by the watchdog (exit code {})", code);
    } else if (!early.empty()) {
      followed.insert(followed.begin(), cause->rank);
      std::sort(followed.begin(), followed.end());
      text += fmt::format("{} ended before the others; {} stopped after it", rank_list(early),
                          rank_list(followed));
    } else {
      text += fmt::format(
          "rank {} {}", cause->rank,
          describe_exit(cause->status, cause->peak_bytes,
                        static_cast<double>(host_memory().total) / static_cast<double>(ranks_.size())));
      if (!followed.empty()) text += fmt::format("; {} stopped after it", rank_list(followed));
    }
    if (!killed.empty()) text += fmt::format("; {} did not stop and had to be killed", rank_list(killed));
    say(text);
    return code;
  }

  LaunchOptions options_;
  sigset_t found_mask_{};
  Socket signals_;
  std::vector<RankProcess> ranks_;
  std::vector<const RankProcess*> ended_;  // in the order of their ends
  std::optional<Clock::time_point> deadline_;
  int interrupts_ = 0;
  bool asked_to_stop_ = false;
};

}  // namespace

std::string describe_exit(int status, double peak_bytes, double share_bytes) {
  if (!WIFSIGNALED(status)) return fmt::format("ended with exit code {}", WEXITSTATUS(status));
  const int number = WTERMSIG(status);
  std::string text = fmt::format("was killed by signal {} (SIG{}", number,
                                 sigabbrev_np(number) ? sigabbrev_np(number) : "?");
  if (number == SIGKILL) {
    text += fmt::format("; {} had used {}", peak_bytes > share_bytes / 4 ? "out of memory? It" : "it",
                        human_bytes(peak_bytes));
  }
  return text + ")";
}

int launch_local(int num_ranks, const std::vector<std::string>& arguments, const LaunchOptions& options) {
  if (num_ranks < 1) throw ConfigError(fmt::format("launcher: {} ranks. At least 1 is needed.", num_ranks));
  return Launcher(num_ranks, arguments, options).run();
}

}  // namespace colossal::comm
