// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <sched.h>

#include <future>
#include <thread>

#include "local_cases.h"

using namespace colossal::comm;
using namespace colossal::comm::local;

namespace {

void all_well(const std::vector<std::string>& errors) {
  for (const std::string& error : errors) {
    CHECK(error == "");
  }
}

// Sizes around the borders: inside one round, staged, read directly; none a multiple of a cache line.
const std::vector<int64_t> kCounts{0, 1, 13, 1000, 8191, 8193, 100'003};

}  // namespace

TEST_CASE("collectives among threads") {
  for (const Reach::Way way : {Reach::Way::none, Reach::Way::threads}) {
    for (const int n : {2, 3, 5}) {
      all_well(local_threads(n,
                             [&](LocalBackend& backend, int index) {
                               for (const int64_t count : kCounts) {
                                 check_collectives(backend, n, index, count, false);
                                 check_transfers(backend, n, index, count);
                               }
                               check_collectives(backend, n, index, 30'000, true);
                             },
                             {.best = way}));
    }
  }
}

TEST_CASE("several staging rooms long") {
  for (const Reach::Way way : {Reach::Way::none, Reach::Way::threads}) {
    all_well(local_threads(
        2, [](LocalBackend& backend, int index) { check_collectives(backend, 2, index, 700'001, false); },
        {.best = way}));
  }
}

TEST_CASE("reductions of every dtype and op") {
  for (const int n : {2, 3, 4, 6}) {
    all_well(local_threads(n, [&](LocalBackend& backend, int index) {
      check_reductions(backend, n, index, 77);
      check_reductions(backend, n, index, 70'001);
    }));
  }
}

namespace {

// Whether two members that may run on these cores find themselves crowded, beside other ranks on this host.
std::array<bool, 2> crowded(const std::array<std::vector<int>, 2>& cores, int host_ranks = 2) {
  std::promise<std::string> ticket;
  std::array<bool, 2> found{};
  const auto member = [&](int index) {
    cpu_set_t mine;
    CPU_ZERO(&mine);
    for (const int core : cores[index]) CPU_SET(core, &mine);
    REQUIRE(sched_setaffinity(0, sizeof mine, &mine) == 0);
    Place place;
    place.group = "data";
    place.ranks = {0, 1};
    place.index = index;
    place.host_ranks = host_ranks;
    place.tell = [&](const std::string& text) { ticket.set_value(text); };
    place.hear = [&] { return ticket.get_future().get(); };
    found[index] = Session(place).crowded();
  };
  std::thread other(member, 1);
  std::thread(member, 0).join();
  other.join();
  return found;
}

}  // namespace

TEST_CASE(
    "members are crowded where the ranks of the host are more than the cores, unless bound to a core each") {
  cpu_set_t usable;
  REQUIRE(sched_getaffinity(0, sizeof usable, &usable) == 0);
  std::vector<int> cores;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &usable)) cores.push_back(i);
  }
  if (cores.size() < 2) {
    MESSAGE("left out: this process may use one core only");
    return;
  }
  const int a = cores[0], b = cores[1];
  CHECK(crowded({{{a}, {b}}}) == std::array{false, false});
  CHECK(crowded({{{a}, {b}}}, 4) == std::array{false, false});
  CHECK(crowded({{{a}, {a}}}) == std::array{true, true});
  CHECK(crowded({{{a, b}, {a, b}}}) == std::array{false, false});
  CHECK(crowded({{{a, b}, {a, b}}}, 3) == std::array{true, true});
}
