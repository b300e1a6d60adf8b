// SPDX-License-Identifier: Apache-2.0
#include "local_ranks.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <future>
#include <numeric>
#include <thread>

#include "colossal/base/error.h"

namespace colossal::comm::local {
namespace {

Place place_of(int n, int index, const LocalTest& test) {
  Place place;
  place.group = test.group;
  place.ranks.resize(n + test.absent);
  std::iota(place.ranks.begin(), place.ranks.end(), 0);
  place.index = index;
  place.timeout = test.timeout;
  place.connect_timeout = test.connect_timeout;
  return place;
}

// What forked members share with their parent.
struct Shared {
  struct {
    char error[1024];
    double seconds;
  } members[16];
};

double now_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void run_child(int n, int index, const std::vector<int>& pipes, Shared& shared, const LocalTest& test,
               const std::function<void(LocalBackend&, int)>& body) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Place place = place_of(n, index, test);
  place.tell = [&](const std::string& ticket) {
    for (int i = 1; i < n; ++i) {  // one line for each of the others
      const std::string line = ticket + "\n";
      if (write(pipes[2 * i + 1], line.data(), line.size()) < 0) {
        _exit(3);
      }
    }
  };
  place.hear = [&] {
    std::string line;
    char c = 0;
    while (read(pipes[2 * index], &c, 1) == 1 && c != '\n') {
      line += c;
    }
    return line;
  };
  try {
    LocalBackend backend(place, test.best);
    shared.members[index].seconds = now_seconds();
    body(backend, index);
  } catch (const std::exception& error) {
    std::strncpy(shared.members[index].error, error.what(), sizeof shared.members[index].error - 1);
  }
  shared.members[index].seconds = now_seconds();
  _exit(0);
}

}  // namespace

std::vector<std::string> local_threads(int n, const std::function<void(LocalBackend&, int)>& body,
                                       const LocalTest& test) {
  std::promise<std::string> ticket;
  std::shared_future<std::string> heard = ticket.get_future().share();
  std::vector<std::string> errors(n);
  std::vector<std::thread> threads;
  for (int index = 0; index < n; ++index) {
    threads.emplace_back([&, index] {
      Place place = place_of(n, index, test);
      place.tell = [&](const std::string& text) { ticket.set_value(text); };
      place.hear = [&] { return heard.get(); };
      try {
        LocalBackend backend(place, test.best);
        body(backend, index);
      } catch (const std::exception& error) {
        errors[index] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  return errors;
}

std::vector<Outcome> local_processes(int n, const std::function<void(LocalBackend&, int)>& body,
                                     const LocalTest& test,
                                     const std::function<void(const std::vector<pid_t>&)>& parent) {
  auto* shared = static_cast<Shared*>(
      mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::vector<int> pipes(2 * n);
  for (int i = 0; i < n; ++i) {
    if (pipe2(&pipes[2 * i], O_CLOEXEC) != 0) {
      throw InternalError("pipe2 failed in a test");
    }
  }
  std::vector<pid_t> children(n);
  for (int index = 0; index < n; ++index) {
    children[index] = fork();
    if (children[index] == 0) {
      run_child(n, index, pipes, *shared, test, body);
    }
  }
  const double started = now_seconds();
  if (parent) {
    parent(children);
  }
  std::vector<Outcome> outcomes(n);
  for (int i = 0; i < n; ++i) {
    int status = 0;
    waitpid(children[i], &status, 0);
    outcomes[i].signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    outcomes[i].error = shared->members[i].error;
    outcomes[i].seconds = shared->members[i].seconds - started;
  }
  for (int fd : pipes) {
    close(fd);
  }
  munmap(shared, sizeof(Shared));
  return outcomes;
}

at::Tensor filled(int64_t count, at::ScalarType dtype, const std::function<double(int64_t)>& value) {
  at::Tensor x = at::empty({count}, dtype);
  const auto fill = [&](auto* data) {
    for (int64_t i = 0; i < count; ++i) {
      data[i] = static_cast<std::remove_reference_t<decltype(*data)>>(value(i));
    }
  };
  switch (dtype) {
    case at::kDouble: fill(x.data_ptr<double>()); break;
    case at::kFloat: fill(x.data_ptr<float>()); break;
    case at::kHalf: fill(x.data_ptr<at::Half>()); break;
    case at::kBFloat16: fill(x.data_ptr<at::BFloat16>()); break;
    case at::kLong: fill(x.data_ptr<int64_t>()); break;
    case at::kInt: fill(x.data_ptr<int32_t>()); break;
    case at::kShort: fill(x.data_ptr<int16_t>()); break;
    case at::kChar: fill(x.data_ptr<int8_t>()); break;
    case at::kByte: fill(x.data_ptr<uint8_t>()); break;
    case at::kBool: fill(x.data_ptr<bool>()); break;
    default: throw InternalError("dtype of a test tensor");
  }
  return x;
}

}  // namespace colossal::comm::local
