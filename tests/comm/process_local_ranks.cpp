// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sys/wait.h>

#include <csignal>
#include <filesystem>
#include <set>

#include "colossal/base/error.h"
#include "local_cases.h"

using namespace colossal;
using namespace colossal::comm;
using namespace colossal::comm::local;

namespace {

std::set<std::string> shared_memory_files() {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    names.insert(entry.path().filename());
  }
  return names;
}

void all_well(const std::vector<Outcome>& outcomes) {
  for (const Outcome& outcome : outcomes) {
    CHECK(outcome.error == "");
    CHECK(outcome.signal == 0);
  }
}

void reduce_forever(LocalBackend& backend, int64_t count) {
  at::Tensor x = filled(count, at::kFloat, [](int64_t) { return 1.0; });
  while (true) {
    backend.all_reduce(x, ReduceOp::max)->wait();
  }
}

}  // namespace

TEST_CASE("collectives and transfers among processes, staged and by reading each other") {
  for (const Reach::Way way : {Reach::Way::none, Reach::Way::processes}) {
    for (const int n : {2, 3}) {
      all_well(local_processes(n,
                               [&](LocalBackend& backend, int index) {
                                 for (const int64_t count : {0, 13, 8193, 100'003}) {
                                   check_collectives(backend, n, index, count, false);
                                   check_transfers(backend, n, index, count);
                                 }
                                 check_collectives(backend, n, index, 30'000, true);
                                 check_reductions(backend, n, index, 70'001);
                               },
                               {.best = way}));
    }
  }
}

TEST_CASE("eight processes on fewer cores finish") {
  all_well(local_processes(8, [](LocalBackend& backend, int index) {
    for (int repeat = 0; repeat < 50; ++repeat) {
      check_collectives(backend, 8, index, 100, false);
    }
    check_transfers(backend, 8, index, 5000);
  }));
}

TEST_CASE("a killed member is named by the others within a second, nothing stays in /dev/shm") {
  const std::set<std::string> before = shared_memory_files();
  for (const int64_t count : {16, 1'000'000}) {
    const std::vector<Outcome> outcomes =
        local_processes(3,
                        [&](LocalBackend& backend, int index) {
                          at::Tensor x = filled(count, at::kFloat, [](int64_t) { return 1.0; });
                          backend.all_reduce(x, ReduceOp::max)->wait();
                          if (index == 1) {
                            raise(SIGKILL);
                          }
                          reduce_forever(backend, count);
                        },
                        {});
    CHECK(outcomes[1].signal == SIGKILL);
    for (const int index : {0, 2}) {
      CHECK(outcomes[index].error.starts_with("all_reduce #4 on \"data\": rank 1 (process "));
      CHECK(outcomes[index].error.ends_with(") died."));
      CHECK(outcomes[index].seconds - outcomes[1].seconds < 1);
    }
  }
  CHECK(shared_memory_files() == before);
}

TEST_CASE("a stopped member trips the timeout of the others, who name it") {
  const std::vector<Outcome> outcomes = local_processes(
      3,
      [&](LocalBackend& backend, int index) {
        if (index == 2) {
          raise(SIGSTOP);
        }
        backend.barrier()->wait();
      },
      {.timeout = std::chrono::milliseconds(300)},
      [](const std::vector<pid_t>& children) {
        for (const int index : {0, 1}) {  // the two that give up end by themselves
          siginfo_t info;
          waitid(P_PID, children[index], &info, WEXITED | WNOWAIT);
        }
        kill(children[2], SIGKILL);
      });
  CHECK(outcomes[2].signal == SIGKILL);
  for (const int index : {0, 1}) {  // who gives up first tells the other
    const bool known = outcomes[index].error == "barrier #3 on \"data\": rank 0 waited 0.3 s for rank 2." ||
                       outcomes[index].error == "barrier #3 on \"data\": rank 1 waited 0.3 s for rank 2.";
    CHECK_MESSAGE(known, outcomes[index].error);
  }
}

TEST_CASE("processes that ask for different things all hear who asked for what") {
  const std::vector<Outcome> outcomes = local_processes(2, [](LocalBackend& backend, int index) {
    at::Tensor x = filled(index == 0 ? 16 : 12, at::kFloat, [](int64_t) { return 1.0; });
    backend.all_reduce(x, ReduceOp::sum)->wait();
  });
  for (const Outcome& outcome : outcomes) {
    CHECK(
        outcome.error ==
        "#3 on \"data\": the members ask for different things: rank 0 all_reduce(sum) of 16 x Float, rank 1 "
        "all_reduce(sum) of 12 x Float. All must call the same operation with the same dtype and sizes.");
  }
}
