// SPDX-License-Identifier: Apache-2.0
// Real processes by our launcher, Open MPI and by hand (torchrun: tests/cli), and starts that must fail with a clear message within ten seconds.
#include <doctest/doctest.h>

#include <csignal>

#include "colossal/comm/launch/socket.h"
#include "tests/comm/ranks_program.h"

namespace colossal::comm {
namespace {

using namespace colossal::testing;

void check_done(const Finished& run, int ranks, const std::string& launcher, const std::string& backend) {
  INFO(run.output);
  CHECK(run.exit_code == 0);
  for (int r = 0; r < ranks; r++)
    CHECK(count(run.output, fmt::format("rank {} of {} by {} over {}, local {} of {}", r, ranks, launcher,
                                        backend, r, ranks)) == 1);
}

std::vector<std::string> by_hand(int rank, int size, int port, const std::string& address = "127.0.0.1") {
  return {fmt::format("RANK={}", rank), fmt::format("WORLD_SIZE={}", size), "MASTER_ADDR=" + address,
          fmt::format("MASTER_PORT={}", port)};
}

TEST_CASE("own launcher: ranks find each other, output of the others is prefixed") {
  const Finished run = run_program({"--launch", "3"});
  check_done(run, 3, "colossal", "local");  // which nobody asked for: they share a host
  CHECK(count(run.output, "[rank 1] rank 1 of 3") == 1);
  CHECK(count(run.output, "[rank 0]") == 0);
  CHECK(count(run.output, "\n") == 4);  // three ranks and rank 0's first step: no noise of libraries
}

TEST_CASE("own launcher, over Gloo") {
  check_done(run_program({"--launch", "3", "--backend", "gloo"}), 3, "colossal", "gloo");
}

TEST_CASE("Open MPI") {
  check_done(run_process({"mpirun", "--allow-run-as-root", "--oversubscribe", "-n", "2", kRanks}), 2,
             "mpirun", "local");
}

TEST_CASE("started by hand") {
  const int port = free_port();
  const auto runs = run_together(
      {{kRanks}, {kRanks}}, {{.environment = by_hand(0, 2, port)}, {.environment = by_hand(1, 2, port)}});
  for (const Finished& run : runs) CHECK(run.exit_code == 0);
}

TEST_CASE("SIGTERM and SIGHUP to the launcher reach every rank") {
  for (const int signal : {SIGTERM, SIGHUP}) {
    const Finished run =
        run_program({"--launch", "2", "--until-stopped"}, {.signals = {{signal, "first step done"}}});
    INFO(run.output);
    CHECK(run.exit_code == 143);
    CHECK(count(run.output, "stopped by a signal") == 1);
  }
}

// Rank 1 stops itself after the first step, so that nobody can stop in order.
TEST_CASE("a second Ctrl-C ends the ranks at once, with exit code 130 and one line") {
  const Finished run =
      run_program({"--launch", "2", "--event", "stop:1:1"},
                  {.signals = {{SIGINT, "first step done"}, {SIGINT, "colossal: interrupted: "}}});
  CHECK(run.exit_code == 130);
  CHECK(run.output ==
        "first step done\n"
        "colossal: interrupted: waiting for the ranks to stop in order. Ctrl-C again ends them at once.\n"
        "colossal: interrupted twice: the ranks were ended at once, unsaved work is lost.\n");
}

TEST_CASE("a second Ctrl-C without a launcher") {
  const Finished run =
      run_program({"--timeout", "20", "--event", "slow:0:1"},
                  {.signals = {{SIGINT, "first step done"}, {SIGINT, "colossal: interrupted: "}}});
  CHECK(run.exit_code == 130);
  CHECK(run.output ==
        "first step done\n"
        "colossal: interrupted: stopping in order after this step. Ctrl-C again ends the run at once.\n"
        "colossal: interrupted twice: ended at once, unsaved work is lost.\n");
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

// The whole message, and how soon it came.
void check_refused(const Finished& run, const std::string& message) {
  CHECK(run.exit_code == 2);
  CHECK(run.seconds < 10);
  CHECK(run.output == "colossal: " + message + "\n");
}

std::string cannot_connect(const std::string& host, int port, int seconds, const std::string& problem) {
  return fmt::format(
      "cannot connect to {}:{} within {} s: {}. MASTER_ADDR and MASTER_PORT must name the host of rank 0 "
      "and a free port there, and rank 0 must be running.",
      host, port, seconds, problem);
}

TEST_CASE("wrong address: nobody serves there") {
  const int port = free_port();
  check_refused(run_program({"--connect", "1"}, {.environment = by_hand(1, 2, port)}),
                cannot_connect("127.0.0.1", port, 1, "nothing listens there (connection refused)"));
}

TEST_CASE("wrong address: the name does not resolve") {
  const int port = free_port();
  const Finished run =
      run_program({"--connect", "1"}, {.environment = by_hand(0, 2, port, "no-such-host.invalid")});
  INFO(run.output);
  CHECK(run.exit_code == 2);
  CHECK(run.seconds < 10);
  // What the resolver says depends on the network of this host.
  const std::string start = fmt::format(
      "colossal: cannot connect to no-such-host.invalid:{} within 1 s: the name "
      "\"no-such-host.invalid\" does not resolve (",
      port);
  CHECK(run.output.starts_with(start));
  CHECK(count(run.output, "\n") == 1);
}

TEST_CASE("world size mismatch, on both sides") {
  for (const int size : {2, 3}) {
    const int port = free_port();
    const auto runs = run_together({{kRanks}, {kRanks}}, {{.environment = by_hand(0, size, port)},
                                                          {.environment = by_hand(1, 5 - size, port)}});
    for (const Finished& run : runs)
      check_refused(run,
                    fmt::format("rendezvous: rank 1 was started with a world size of {}, rank 0 with {}. "
                                "Start all ranks with the same number.",
                                5 - size, size));
  }
}

TEST_CASE("missing ranks") {
  check_refused(
      run_program({"--connect", "2"}, {.environment = by_hand(0, 3, free_port())}),
      "rendezvous: ranks 1, 2 of 3 did not come within 2 s. Is the world size right on every host? Slow "
      "starts: raise comm.connect_timeout_seconds.");
}

TEST_CASE(
    "with the patience that nobody has changed, a start that cannot succeed is told within ten seconds") {
  const int missing = free_port(), nobody = free_port();
  const auto runs = run_together({{kRanks}, {kRanks}}, {{.environment = by_hand(0, 2, missing)},
                                                        {.environment = by_hand(1, 2, nobody)}});
  check_refused(
      runs[0],
      "rendezvous: rank 1 of 2 did not come within 8 s. Is the world size right on every host? Slow "
      "starts: raise comm.connect_timeout_seconds.");
  check_refused(runs[1],
                cannot_connect("127.0.0.1", nobody, 8, "nothing listens there (connection refused)"));
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
