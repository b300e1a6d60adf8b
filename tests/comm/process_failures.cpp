// SPDX-License-Identifier: Apache-2.0
// Ranks that die, stop, fail or dawdle: the others must stop soon, say why once, and leave nothing behind.
#include <doctest/doctest.h>

#include <csignal>

#include "colossal/base/file.h"
#include "colossal/base/json.h"
#include "colossal/comm/launch/launcher.h"
#include "colossal/comm/watchdog/dump.h"
#include "tests/comm/ranks_program.h"
#include "tests/support/scratch.h"

namespace colossal::comm {
namespace {

using namespace colossal::testing;

// The flight recorder of a rank of kRanks that ended in an all_reduce with somebody who did not come.
void check_flight_recorder(const std::filesystem::path& folder, int rank, const std::string& verdict) {
  CAPTURE(rank);
  const Json dump = Json::parse(read_file(recorder_path(folder, rank)));
  CHECK(dump.at("rank") == rank);
  CHECK(dump.at("step").get<int>() >= 39);
  CHECK(dump.at("verdict").get<std::string>().starts_with(verdict));
  CHECK(dump.at("time").get<double>() > 1.6e9);
  const Json& calls = dump.at("collectives");
  REQUIRE(calls.size() >= 2 * 40);
  for (size_t i = 1; i < calls.size(); i++)
    CHECK(calls[i].at("sequence").get<int>() == calls[i - 1].at("sequence").get<int>() + 1);
  CHECK(calls.front().at("finished") == true);
  CHECK(calls.back().at("op") == "all_reduce");
  CHECK(calls.back().at("group") == "world");
  CHECK(calls.back().at("finished") == false);
}

Finished run(const std::string& event, const std::vector<std::string>& more = {}) {
  std::vector<std::string> arguments = {"--launch", "3", "--steps", "60", "--event", event};
  arguments.insert(arguments.end(), more.begin(), more.end());
  Finished result = run_program(arguments);
  CHECK(result.seconds < 10);  // from the start on
  CHECK(shared_memory_named("colossal").empty());
  return result;
}

TEST_CASE("kill -9 of one rank: one line names rank, step and flight recorders, the code is the signal's") {
  const ScratchFolder scratch;
  const std::filesystem::path folder = scratch / "flight";
  const Finished r = run("kill:1:40", {"--recorder", folder.string()});
  INFO(r.output);
  CHECK(r.exit_code == 128 + SIGKILL);
  CHECK(count(r.output, "rank 1 died at step ") == 1);
  CHECK(count(r.output, "colossal: rank 1 was killed by signal 9 (SIGKILL; it had used ") == 1);
  CHECK(count(r.output, "; ranks 0 and 2 stopped after it.") == 1);
  CHECK(in_order(r.output, {"rank 1 died at step ", "colossal: rank 1 was killed by signal 9"}));
  CHECK(count(r.output, fmt::format("). Flight recorders: {}/rank-*.json\n", folder.string())) == 1);
  for (const int rank : {0, 2}) check_flight_recorder(folder, rank, "rank 1 died at step ");
  CHECK_FALSE(std::filesystem::exists(recorder_path(folder, 1)));
}

TEST_CASE("memory is suspected only of a rank that had much of it") {
  constexpr double kMiB = 1 << 20, kShare = 8192 * kMiB;
  CHECK(describe_exit(SIGKILL, 152.7 * kMiB, kShare) ==
        "was killed by signal 9 (SIGKILL; it had used 152.7 MiB)");
  CHECK(describe_exit(SIGKILL, 2048 * kMiB, kShare) ==
        "was killed by signal 9 (SIGKILL; it had used 2.0 GiB)");
  CHECK(describe_exit(SIGKILL, 3072 * kMiB, kShare) ==
        "was killed by signal 9 (SIGKILL; out of memory? It had used 3.0 GiB)");
  CHECK(describe_exit(SIGSEGV, 3072 * kMiB, kShare) == "was killed by signal 11 (SIGSEGV)");
  CHECK(describe_exit(3 << 8, 3072 * kMiB, kShare) == "ended with exit code 3");
}

TEST_CASE("kill -9 of one rank over Gloo; without a folder for them, flight recorders are written nowhere") {
  const ScratchFolder scratch;
  const Finished r =
      run_process({"/bin/sh", "-c", "cd \"$0\" && exec \"$@\"", scratch.path().string(), kRanks, "--launch",
                   "3", "--steps", "60", "--event", "kill:1:40", "--backend", "gloo"});
  INFO(r.output);
  CHECK(r.exit_code == 128 + SIGKILL);
  CHECK(r.seconds < 10);
  CHECK(count(r.output, "rank 1 died at step ") == 1);
  CHECK(in_order(r.output, {"rank 1 died at step ", "colossal: rank 1 was killed by signal 9",
                            "; ranks 0 and 2 stopped after it."}));
  CHECK(count(r.output, "light recorder") == 0);
  CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("kill -9 of rank 0, which holds store and hub") {
  const Finished r = run("kill:0:40");
  INFO(r.output);
  CHECK(r.exit_code == 128 + SIGKILL);
  CHECK(count(r.output, "rank 0 died at step ") == 1);
  CHECK(count(r.output, "; ranks 1 and 2 stopped after it.") == 1);
}

TEST_CASE("kill -9 of the launcher: the ranks die with it") {
  const Finished r = run("kill-parent:1:40");
  CHECK(r.exit_code == 128 + SIGKILL);
}

TEST_CASE("a rank that just exits") {
  const Finished r = run("exit:2:40");
  INFO(r.output);
  CHECK(r.exit_code == 10);
  CHECK(count(r.output, "rank 2 died at step ") == 1);
  CHECK(count(r.output, "colossal: rank 2 ended before the others; ranks 0 and 1 stopped after it.") == 1);
}

TEST_CASE("an exception on one rank is the only message, and its exit code that of the run") {
  const ScratchFolder scratch;
  const Finished r = run("throw:1:40", {"--recorder", scratch.path().string()});
  INFO(r.output);
  CHECK(r.exit_code == 3);
  CHECK(count(r.output, "colossal: rank 1: corpus.bin: unreadable at step 40\n") == 1);
  CHECK(count(r.output, "corpus.bin") == 1);
  CHECK(count(r.output, "colossal: ") == 2);  // that one and the launcher's
  CHECK(count(r.output, "colossal: rank 1 ended with exit code 3; ranks 0 and 2 stopped after it.") == 1);
  CHECK(std::filesystem::is_empty(scratch.path()));  // it has said why: no flight recorders
}

TEST_CASE("two ranks fail, one after the other: the first failure is shown first, and its exit code kept") {
  const Finished r = run("twice:1:40");
  INFO(r.output);
  CHECK(r.exit_code == 3);
  CHECK(in_order(r.output,
                 {"colossal: rank 1: corpus.bin: unreadable at step 40\n", "colossal: rank 0: disk full\n",
                  "colossal: rank 1 ended with exit code 3; ranks 0 and 2 stopped after it.\n"}));
  CHECK(count(r.output, "colossal: ") == 3);
}

TEST_CASE("what all ranks find is said once, by rank 0, be it the last to find it") {
  for (const char* event : {"config:0:0", "config:0:300"}) {
    const Finished r = run(event);
    CHECK(r.exit_code == 2);
    CHECK(r.output == "run.toml:1: a mistake that all ranks find.\n");
  }
  const Finished diverged = run("diverge:0:300");
  CHECK(diverged.exit_code == 12);
  CHECK(diverged.output == "colossal: step 4: NaN or Inf in the loss.\n");
}

TEST_CASE("a mistake that one rank alone finds is said by it") {
  const Finished r = run("refuse:1:40");
  INFO(r.output);
  CHECK(r.exit_code == 2);
  CHECK(count(r.output, "[rank 1] run.toml:1: a mistake that rank 1 finds.\n") == 1);
  CHECK(count(r.output, "a mistake") == 1);
  CHECK(count(r.output, "colossal: rank 1 ended with exit code 2; ranks 0 and 2 stopped after it.") == 1);
}

TEST_CASE("a stopped rank trips the watchdog, which lists every rank") {
  for (const auto& [stopped, backend] :
       std::vector<std::pair<std::string, std::string>>{{"1", "gloo"}, {"0", "automatic"}}) {
    const ScratchFolder scratch;
    const Finished r = run("stop:" + stopped + ":40",
                           {"--timeout", "2", "--backend", backend, "--recorder", scratch.path().string()});
    INFO(r.output);
    CHECK(r.exit_code == 11);
    CHECK(count(r.output, "hang: no collective has moved for 2.") == 1);
    CHECK(count(r.output,
                "rank " + stopped +
                    " does not respond (stopped, or the host is gone): missing from all_reduce #") == 1);
    CHECK(count(r.output, "<- missing") == 1);
    CHECK(count(r.output, "waits in all_reduce #") == 2);
    CHECK(count(r.output, "colossal: stopped by the watchdog (exit code 11); rank " + stopped +
                              " did not stop and had to be killed.") == 1);
    CHECK(count(r.output, fmt::format("  flight recorders: {}/rank-*.json\n", scratch.path().string())) == 1);
    for (int rank = 0; rank < 3; rank++) {
      if (stopped == std::to_string(rank)) {
        CHECK_FALSE(std::filesystem::exists(recorder_path(scratch.path(), rank)));
      } else {
        check_flight_recorder(scratch.path(), rank, "hang: no collective has moved for 2.");
      }
    }
  }
}

// What a rank of kRanks says at its end: the processor time of its steps.
double cpu_seconds_of(const std::string& output, int rank) {
  const std::string before = " s of a core: done\n";
  const size_t line = output.find(fmt::format("rank {} of 3 ", rank)), end = output.find(before, line);
  REQUIRE(end != std::string::npos);
  return std::stod(output.substr(output.rfind(' ', end - 1)));
}

TEST_CASE("a slow first step and a slow rank do not trip it; the others wait asleep") {
  for (const auto& [event, backend] :
       std::vector<std::pair<std::string, std::string>>{{"slow:1:0", "gloo"}, {"slow:2:30", "automatic"}}) {
    const Finished r = run(event, {"--timeout", "1.5", "--backend", backend});
    INFO(r.output);
    CHECK(r.exit_code == 0);
    CHECK(count(r.output, ": done") == 3);
    for (int rank = 0; rank < 3; rank++) {
      CAPTURE(rank);
      if (event[5] != '0' + rank) CHECK(cpu_seconds_of(r.output, rank) < 0.4);  // of 2.25 s that it waits
    }
  }
}

}  // namespace
}  // namespace colossal::comm
