// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/rank_process.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "colossal/base/error.h"

namespace colossal::comm {
namespace {

std::vector<char*> pointers(const std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (const std::string& s : strings) result.push_back(const_cast<char*>(s.c_str()));
  result.push_back(nullptr);
  return result;
}

// Between fork and exec: only calls that are safe in the child of any process.
[[noreturn]] void become_rank(const RankProcess::Start& start, pid_t launcher, char** arguments,
                              char** environment, int out, int err) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != launcher) _exit(128 + SIGKILL);  // it died before the line above
  setpgid(0, 0);
  std::signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &start.signal_mask, nullptr);
  // A background process group must not read the terminal; only rank 0 reads at all, from a pipe or a file.
  if (start.rank != 0 || isatty(STDIN_FILENO)) {
    const int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    close(null);
  }
  if (out >= 0) dup2(out, STDOUT_FILENO);
  if (err >= 0) dup2(err, STDERR_FILENO);
  if (start.keep_fd >= 0) fcntl(start.keep_fd, F_SETFD, 0);
  execve(start.program.c_str(), arguments, environment);
  const char* reason = std::strerror(errno);
  write_all(STDERR_FILENO, "colossal: cannot start a rank: ");
  write_all(STDERR_FILENO, reason);
  write_all(STDERR_FILENO, "\n");
  _exit(127);
}

struct Pipe {
  Socket read, write;
};

Pipe make_pipe() {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0)
    throw CommError(fmt::format("cannot start a rank: no pipe: {}.", std::strerror(errno)));
  return {Socket(ends[0]), Socket(ends[1])};
}

}  // namespace

RankProcess RankProcess::start(const Start& start) {
  RankProcess process;
  process.rank = start.rank;
  Pipe out, err;
  if (start.rank != 0) {
    out = make_pipe();
    err = make_pipe();
  }
  const std::vector<char*> arguments = pointers(start.arguments);
  const std::vector<char*> environment = pointers(start.environment);
  const pid_t launcher = getpid();
  process.pid = fork();
  if (process.pid < 0)
    throw CommError(fmt::format("cannot start rank {}: {}.", start.rank, std::strerror(errno)));
  if (process.pid == 0)
    become_rank(start, launcher, const_cast<char**>(arguments.data()), const_cast<char**>(environment.data()),
                out.write.fd(), err.write.fd());
  setpgid(process.pid, process.pid);  // here too: a signal may come before the child gets to it
  process.running = true;
  if (start.rank != 0) {
    const std::string prefix = fmt::format("[rank {}] ", start.rank);
    process.output.emplace_back(std::move(out.read), STDOUT_FILENO, prefix);
    process.output.emplace_back(std::move(err.read), STDERR_FILENO, prefix);
  }
  return process;
}

void RankProcess::signal(int number) {
  if (!running) return;
  killed_by_us |= number == SIGKILL;
  // Before the child has its own group the signal must still reach it.
  if (killpg(pid, number) != 0) kill(pid, number);
}

bool RankProcess::stopped() const {
  siginfo_t info = {};
  return running && waitid(P_PID, static_cast<id_t>(pid), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == pid && info.si_code == CLD_STOPPED;
}

bool RankProcess::reap() {
  if (!running) return false;
  rusage usage = {};
  if (wait4(pid, &status, WNOHANG, &usage) != pid) return false;
  running = false;
  peak_bytes = static_cast<double>(usage.ru_maxrss) * 1024;
  killpg(pid, SIGKILL);  // what the rank itself may have started
  for (LinePrefixer& o : output) o.finish();
  return true;
}

}  // namespace colossal::comm
