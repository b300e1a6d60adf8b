// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/comm/recorder.h"

namespace colossal::comm {
namespace {

// A collective that was issued `age` ago and is not finished.
RecorderEntry aged(std::chrono::seconds age) {
  RecorderEntry entry;
  entry.op = "all_reduce";
  entry.group = "data";
  entry.bytes_sent = 10;
  entry.started = std::chrono::steady_clock::now() - age;
  return entry;
}

std::vector<uint64_t> kept(const Recorder& recorder) {
  std::vector<uint64_t> sequences;
  for (const RecorderEntry& entry : recorder.entries()) sequences.push_back(entry.sequence);
  return sequences;
}

TEST_CASE("a full ring keeps the youngest, oldest first; what has left it stays in the totals") {
  Recorder recorder(4);
  for (uint64_t i = 1; i <= 6; ++i) {
    const uint64_t sequence = recorder.begin(aged(std::chrono::seconds(2)));
    CHECK(sequence == i);
    recorder.end(sequence, 0.25);
  }
  CHECK(kept(recorder) == std::vector<uint64_t>{3, 4, 5, 6});
  for (const RecorderEntry& entry : recorder.entries()) {
    CHECK(entry.seconds >= 2);
    CHECK(entry.seconds < 3);
    CHECK(entry.waited_seconds == 0.25);
  }
  const auto totals = recorder.totals();
  REQUIRE(totals.size() == 1);
  for (const Recorder::Total& total : {totals.at({"all_reduce", "data"}), recorder.total()}) {
    CHECK(total.calls == 6);
    CHECK(total.bytes_sent == 60);
    CHECK(total.seconds >= 12);
    CHECK(total.seconds < 13);
    CHECK(total.waited_seconds == 1.5);
  }
  const Json dump = recorder.dump();
  REQUIRE(dump.size() == 4);
  CHECK(dump.front().at("sequence") == 3);
  CHECK(dump.back().at("sequence") == 6);
}

TEST_CASE("a collective that ends after the ring has passed it by leaves the younger one in its slot alone") {
  Recorder recorder(4);
  for (int i = 0; i < 6; ++i) recorder.begin(aged(std::chrono::seconds(2)));
  recorder.end(1, 0.25);
  CHECK(recorder.total().seconds == 0);
  recorder.end(6, 0.25);
  CHECK(recorder.entries().back().seconds >= 2);
  for (int i = 0; i < 3; ++i) CHECK(recorder.entries()[i].seconds == -1);
  CHECK(recorder.total().seconds == recorder.entries().back().seconds);
  CHECK(recorder.total().calls == 6);
}

TEST_CASE("after a reset numbers go on, and what began before it ends unseen") {
  Recorder recorder(4);
  const uint64_t before = recorder.begin(aged(std::chrono::seconds(2)));
  recorder.reset();
  CHECK(recorder.entries().empty());
  CHECK(recorder.total().calls == 0);
  const uint64_t after = recorder.begin(aged(std::chrono::seconds(2)));
  CHECK(after == before + 1);
  recorder.end(before, 1);
  CHECK(recorder.total().seconds == 0);
  CHECK(kept(recorder) == std::vector<uint64_t>{after});
}

}  // namespace
}  // namespace colossal::comm
