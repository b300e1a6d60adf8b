// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

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
