// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string_view>

namespace colossal::testing {
namespace {

using Clock = std::chrono::steady_clock;

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> result;
  for (std::string& s : strings) result.push_back(s.data());
  result.push_back(nullptr);
  return result;
}

// A test may itself run below some launcher; its programs must not believe that it is theirs.
std::vector<std::string> clean_environment(const std::vector<std::string>& extra) {
  static constexpr std::string_view kLaunchers[] = {
      "RANK=", "WORLD_SIZE=", "LOCAL_", "MASTER_", "TORCHELASTIC_", "SLURM_", "OMPI_", "PMI", "COLOSSAL_"};
  std::vector<std::string> result;
  for (char** e = environ; *e != nullptr; e++) {
    const std::string_view entry = *e;
    bool foreign = false;
    for (std::string_view prefix : kLaunchers) foreign |= entry.starts_with(prefix);
    if (!foreign) result.emplace_back(entry);
  }
  result.insert(result.end(), extra.begin(), extra.end());
  return result;
}

struct Running {
  pid_t pid = -1;
  int output = -1;
  Clock::time_point started;
  size_t signals_sent = 0;
  size_t searched = 0;  // of the output: where the text before the next signal may begin
  bool ended = false;
  bool timed_out = false;
  Finished result;
};

Running start(std::vector<std::string> arguments, const RunOptions& options) {
  prctl(PR_SET_CHILD_SUBREAPER, 1);  // orphans come to us instead of to init
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("no pipe");
  std::vector<std::string> environment = clean_environment(options.environment);
  std::vector<char*> argv = pointers(arguments), envp = pointers(environment);
  Running running;
  running.started = Clock::now();
  running.pid = fork();
  if (running.pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpgid(0, 0);
    std::signal(SIGHUP, SIG_DFL);  // tests may run below nohup
    dup2(open("/dev/null", O_RDONLY), STDIN_FILENO);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    execvpe(argv[0], argv.data(), envp.data());
    perror(argv[0]);
    _exit(127);
  }
  close(ends[1]);
  running.output = ends[0];
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return running;
}

void drain(Running& r) {
  char buffer[8192];
  for (ssize_t n; (n = read(r.output, buffer, sizeof(buffer))) > 0;) r.result.output.append(buffer, n);
}

std::vector<pid_t> children_of(const std::string& process) {
  std::vector<pid_t> result;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + process + "/task")) {
    std::ifstream file(task.path() / "children");
    for (pid_t pid; file >> pid;) result.push_back(pid);
  }
  return result;
}

pid_t rank_below(pid_t program, int rank) {
  if (rank < 0) return program;
  const std::string mark = "COLOSSAL_RANK=" + std::to_string(rank);
  for (pid_t child : children_of(std::to_string(program))) {
    std::ifstream file("/proc/" + std::to_string(child) + "/environ");
    for (std::string entry; std::getline(file, entry, '\0');)
      if (entry == mark) return child;
  }
  throw std::runtime_error("no such rank");
}

void send_next_signal(Running& r, const RunOptions& options) {
  if (r.signals_sent == options.signals.size()) return;
  const SignalAfter& next = options.signals[r.signals_sent];
  const size_t found = r.result.output.find(next.after, r.searched);
  if (found == std::string::npos) return;
  r.searched = found + next.after.size();
  r.signals_sent++;
  kill(rank_below(r.pid, next.rank), next.signal);
}

double cpu_seconds(const rusage& usage) {
  const auto seconds = [](const timeval& t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void look_after(Running& r, const RunOptions& options) {
  drain(r);
  send_next_signal(r, options);
  int status = 0;
  rusage usage = {};
  if (wait4(r.pid, &status, WNOHANG, &usage) == r.pid) {
    r.ended = true;
    r.result.cpu_seconds = cpu_seconds(usage);
    r.result.exit_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    r.result.seconds = std::chrono::duration<double>(Clock::now() - r.started).count();
  } else if (Clock::now() - r.started > options.timeout) {
    r.timed_out = true;
    kill(r.pid, SIGKILL);
  }
}

// Reaps adopted descendants; those still there after a second are orphans that somebody forgot.
int reap_orphans() {
  const Clock::time_point deadline = Clock::now() + std::chrono::seconds(1);
  while (Clock::now() < deadline) {
    const pid_t pid = waitpid(-1, nullptr, WNOHANG);
    if (pid < 0) return 0;
    if (pid == 0) usleep(10'000);
  }
  const std::vector<pid_t> left = children_of("self");
  for (pid_t pid : left) kill(pid, SIGKILL);
  while (waitpid(-1, nullptr, 0) > 0) {
  }
  return static_cast<int>(left.size());
}

}  // namespace

std::vector<Finished> run_together(const std::vector<std::vector<std::string>>& programs,
                                   const std::vector<RunOptions>& options) {
  std::vector<Running> running;
  for (size_t i = 0; i < programs.size(); i++) running.push_back(start(programs[i], options[i]));
  for (bool all_ended = false; !all_ended;) {
    std::vector<pollfd> fds;
    for (Running& r : running)
      if (!r.ended) fds.push_back({r.output, POLLIN, 0});
    poll(fds.data(), fds.size(), 20);
    all_ended = true;
    for (size_t i = 0; i < running.size(); i++) {
      if (!running[i].ended) look_after(running[i], options[i]);
      all_ended &= running[i].ended;
    }
  }
  const int orphans = reap_orphans();
  CHECK(orphans == 0);
  std::vector<Finished> results;
  for (Running& r : running) {
    drain(r);
    close(r.output);
    CHECK_MESSAGE(!r.timed_out, r.result.output);
    results.push_back(std::move(r.result));
  }
  return results;
}

Finished run_process(const std::vector<std::string>& arguments, const RunOptions& options) {
  return run_together({arguments}, {options})[0];
}

int count(const std::string& text, const std::string& part) {
  int n = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) n++;
  return n;
}

int free_port() {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), length) != 0) throw std::runtime_error("no free port");
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  close(fd);
  return ntohs(address.sin_port);
}

std::vector<std::string> shared_memory_named(const std::string& part) {
  std::vector<std::string> result;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    if (entry.path().filename().string().find(part) != std::string::npos)
      result.push_back(entry.path().filename());
  return result;
}

}  // namespace colossal::testing
