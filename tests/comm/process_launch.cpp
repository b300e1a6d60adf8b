// SPDX-License-Identifier: Apache-2.0
// Real processes by every launcher, and starts that must fail with a clear message within ten seconds.
#include <doctest/doctest.h>

#include <csignal>

#include "colossal/comm/launch/socket.h"
#include "tests/comm/ranks_program.h"

namespace colossal::comm {
namespace {

using namespace colossal::testing;

void check_done(const Finished& run, int ranks, const std::string& launcher) {
  INFO(run.output);
  CHECK(run.exit_code == 0);
  for (int r = 0; r < ranks; r++)
    CHECK(count(run.output,
                fmt::format("rank {} of {} by {}, local {} of {}", r, ranks, launcher, r, ranks)) == 1);
}

std::vector<std::string> by_hand(int rank, int size, int port, const std::string& address = "127.0.0.1") {
  return {fmt::format("RANK={}", rank), fmt::format("WORLD_SIZE={}", size), "MASTER_ADDR=" + address,
          fmt::format("MASTER_PORT={}", port)};
}

TEST_CASE("own launcher: ranks find each other, output of the others is prefixed") {
  const Finished run = run_program({"--launch", "3"});
  check_done(run, 3, "colossal");
  CHECK(count(run.output, "[rank 1] rank 1 of 3") == 1);
  CHECK(count(run.output, "[rank 0]") == 0);
  CHECK(count(run.output, "\n") == 4);  // three ranks and rank 0's first step: no noise of libraries
}

TEST_CASE("torchrun") {
  check_done(run_process({COLOSSAL_TORCHRUN, "--no-python", "--nproc-per-node", "2", "--master-port",
                          std::to_string(free_port()), kRanks}),
             2, "torchrun");
}

TEST_CASE("Open MPI") {
  check_done(run_process({"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", kRanks}), 2,
             "mpirun");
}

TEST_CASE("started by hand") {
  const int port = free_port();
  const auto runs = run_together(
      {{kRanks}, {kRanks}}, {{.environment = by_hand(0, 2, port)}, {.environment = by_hand(1, 2, port)}});
  for (const Finished& run : runs) CHECK(run.exit_code == 0);
}

TEST_CASE("SIGTERM to the launcher reaches every rank") {
  const Finished run =
      run_program({"--launch", "2", "--until-stopped"}, {.signals = {{SIGTERM, "first step done"}}});
  INFO(run.output);
  CHECK(run.exit_code == 143);
  CHECK(count(run.output, "stopped by a signal") == 1);
}

TEST_CASE("port in use") {
  const Listener holder = listen_on("127.0.0.1", 0);
  const Finished run = run_program({}, {.environment = by_hand(0, 2, holder.port)});
  CHECK(run.exit_code == 2);
  CHECK(run.seconds < 10);
  CHECK(
      run.output ==
      fmt::format("colossal: cannot listen on 127.0.0.1:{0}: the port is in use. Choose another MASTER_PORT, "
                  "or end the program that holds it (ss -ltnp 'sport = :{0}').\n",
                  holder.port));
}

TEST_CASE("wrong address: nobody serves there") {
  const Finished run = run_program({"--connect", "1"}, {.environment = by_hand(1, 2, free_port())});
  INFO(run.output);
  CHECK(run.exit_code == 2);
  CHECK(run.seconds < 10);
  CHECK(count(run.output, "nothing listens there (connection refused)") == 1);
}

TEST_CASE("wrong address: the name does not resolve") {
  const Finished run =
      run_program({"--connect", "1"}, {.environment = by_hand(0, 2, free_port(), "no-such-host.invalid")});
  INFO(run.output);
  CHECK(run.exit_code == 2);
  CHECK(run.seconds < 10);
  CHECK(count(run.output, "the name \"no-such-host.invalid\" does not resolve") == 1);
}

TEST_CASE("world size mismatch, on both sides") {
  const int port = free_port();
  const auto runs = run_together(
      {{kRanks}, {kRanks}}, {{.environment = by_hand(0, 2, port)}, {.environment = by_hand(1, 3, port)}});
  for (const Finished& run : runs) {
    INFO(run.output);
    CHECK(run.exit_code == 2);
    CHECK(run.seconds < 10);
    CHECK(count(run.output, "rendezvous: rank 1 was started with a world size of 3, rank 0 with 2.") == 1);
  }
}

TEST_CASE("missing ranks") {
  const Finished run = run_program({"--connect", "2"}, {.environment = by_hand(0, 3, free_port())});
  INFO(run.output);
  CHECK(run.exit_code == 2);
  CHECK(run.seconds < 10);
  CHECK(count(run.output, "rendezvous: ranks 1, 2 of 3 did not come within 2 s.") == 1);
}

TEST_CASE("two processes with the same rank") {
  const int port = free_port();
  const auto runs =
      run_together({{kRanks, "--connect", "3"}, {kRanks, "--connect", "3"}, {kRanks, "--connect", "3"}},
                   {{.environment = by_hand(0, 3, port)},
                    {.environment = by_hand(1, 3, port)},
                    {.environment = by_hand(1, 3, port)}});
  const std::string all = runs[1].output + runs[2].output;
  INFO(all);
  CHECK(count(all, "rendezvous: two processes say that they are rank 1 of 3.") == 1);
  for (const Finished& run : runs) {
    CHECK(run.exit_code == 2);
    CHECK(run.seconds < 10);
  }
}

TEST_CASE("a broken environment is refused before anything starts") {
  const Finished run =
      run_program({}, {.environment = {"RANK=2", "WORLD_SIZE=2", "MASTER_ADDR=x", "MASTER_PORT=1"}});
  CHECK(run.exit_code == 2);
  CHECK(run.output == "environment: RANK = 2 is outside 0 to 1 (WORLD_SIZE = 2).\n");
}

}  // namespace
}  // namespace colossal::comm
