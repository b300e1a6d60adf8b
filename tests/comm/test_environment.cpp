// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/launch/environment.h"

namespace colossal::comm {
namespace {

using Variables = std::map<std::string, std::string>;

RankEnvironment parse(const Variables& variables) {
  return environment_from([&](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    return found == variables.end() ? std::nullopt : std::optional(found->second);
  });
}

std::string problems(const Variables& variables) {
  try {
    parse(variables);
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "none";
}

const Variables kTorchrun = {{"RANK", "5"},
                             {"LOCAL_RANK", "1"},
                             {"WORLD_SIZE", "8"},
                             {"LOCAL_WORLD_SIZE", "4"},
                             {"MASTER_ADDR", "gpu7"},
                             {"MASTER_PORT", "29500"},
                             {"TORCHELASTIC_RUN_ID", "job"},
                             {"TORCHELASTIC_RESTART_COUNT", "2"},
                             {"TORCHELASTIC_USE_AGENT_STORE", "True"}};

TEST_CASE("nothing set is one rank") {
  const RankEnvironment e = parse({{"PATH", "/bin"}});
  CHECK(e.launcher == "single");
  CHECK(e.rank == 0);
  CHECK(e.world_size == 1);
}

TEST_CASE("own launcher") {
  const RankEnvironment e = parse({{"COLOSSAL_RANK", "0"},
                                   {"COLOSSAL_WORLD_SIZE", "4"},
                                   {"COLOSSAL_MASTER_PORT", "4711"},
                                   {"COLOSSAL_STORE_FD", "7"},
                                   {"COLOSSAL_JOB", "abc"},
                                   {"RANK", "3"}});
  CHECK(e.launcher == "colossal");
  CHECK(e.rank == 0);
  CHECK(e.local_world_size == 4);
  CHECK(e.master_address == "127.0.0.1");
  CHECK(e.master_port == 4711);
  CHECK(e.store_fd == 7);
  CHECK(e.job == "abc");
}

TEST_CASE("torchrun: all values, and another job after a restart") {
  const RankEnvironment e = parse(kTorchrun);
  CHECK(e.launcher == "torchrun");
  CHECK(e.rank == 5);
  CHECK(e.world_size == 8);
  CHECK(e.local_rank == 1);
  CHECK(e.local_world_size == 4);
  CHECK(e.master_address == "gpu7");
  CHECK(e.master_port == 29500);
  CHECK(e.agent_store);
  Variables restarted = kTorchrun;
  restarted["TORCHELASTIC_RESTART_COUNT"] = "3";
  CHECK(parse(restarted).job != e.job);
  CHECK(parse(kTorchrun).job == e.job);
}

TEST_CASE("set by hand on one host") {
  const RankEnvironment e =
      parse({{"RANK", "1"}, {"WORLD_SIZE", "2"}, {"MASTER_ADDR", "localhost"}, {"MASTER_PORT", "29500"}});
  CHECK(e.launcher == "environment");
  CHECK(e.local_rank == 1);
  CHECK(e.local_world_size == 2);
  CHECK_FALSE(e.agent_store);
}

TEST_CASE("Open MPI on one host needs no address, on two it does") {
  Variables v = {{"OMPI_COMM_WORLD_RANK", "1"},
                 {"OMPI_COMM_WORLD_SIZE", "2"},
                 {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                 {"OMPI_COMM_WORLD_LOCAL_SIZE", "2"},
                 {"PMIX_NAMESPACE", "77"},
                 {"SLURM_PROCID", "0"},
                 {"SLURM_NTASKS", "1"}};
  const RankEnvironment e = parse(v);
  CHECK(e.launcher == "mpirun");
  CHECK(e.rank == 1);
  CHECK(e.master_address == "127.0.0.1");
  CHECK(e.master_port >= 20000);
  CHECK(e.master_port < 32000);
  v["OMPI_COMM_WORLD_LOCAL_SIZE"] = "1";
  v["OMPI_COMM_WORLD_LOCAL_RANK"] = "0";
  CHECK(problems(v) ==
        "mpirun: MASTER_ADDR is not set. On several hosts set MASTER_ADDR to the host of rank 0 (mpirun -x "
        "MASTER_ADDR=...).");
}

TEST_CASE("Slurm: first host, tasks per node, the same port on every rank") {
  Variables v = {{"SLURM_PROCID", "5"},
                 {"SLURM_STEP_NUM_TASKS", "7"},
                 {"SLURM_NTASKS", "99"},
                 {"SLURM_LOCALID", "1"},
                 {"SLURM_NODEID", "2"},
                 {"SLURM_STEP_NODELIST", "gpu[07-09]-a,login"},
                 {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1"},
                 {"SLURM_JOB_ID", "1234"},
                 {"SLURM_STEP_ID", "0"}};
  const RankEnvironment e = parse(v);
  CHECK(e.launcher == "srun");
  CHECK(e.world_size == 7);
  CHECK(e.local_rank == 1);
  CHECK(e.local_world_size == 2);
  CHECK(e.master_address == "gpu07-a");
  v["SLURM_PROCID"] = "0";
  v["SLURM_NODEID"] = "0";
  CHECK(parse(v).master_port == e.master_port);
  CHECK(parse(v).job == e.job);
  v["SLURM_STEP_ID"] = "1";
  CHECK(parse(v).job != e.job);
  v["MASTER_PORT"] = "4000";
  CHECK(parse(v).master_port == 4000);
}

TEST_CASE("Slurm lists") {
  CHECK(first_slurm_node("node1") == "node1");
  CHECK(first_slurm_node("node1,node2") == "node1");
  CHECK(first_slurm_node("n[3,5-7]") == "n3");
  CHECK(first_slurm_node("n[003-120]x,m4") == "n003x");
  CHECK(slurm_tasks_on_node("4", 0) == 4);
  CHECK(slurm_tasks_on_node("2(x3),1", 2) == 2);
  CHECK(slurm_tasks_on_node("2(x3),1", 3) == 1);
  CHECK(slurm_tasks_on_node("2(x3),1", 4) == std::nullopt);
  CHECK(slurm_tasks_on_node("", 0) == std::nullopt);
}

TEST_CASE("PMI") {
  const RankEnvironment e =
      parse({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}, {"MPI_LOCALNRANKS", "2"}});
  CHECK(e.launcher == "mpiexec");
  CHECK(e.rank == 1);
  CHECK(e.master_address == "127.0.0.1");
}

TEST_CASE("all problems are named at once") {
  CHECK(problems({{"RANK", "x1"}, {"MASTER_PORT", "70000"}}) ==
        "environment: WORLD_SIZE is not set. Set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT together "
        "(torchrun does), or "
        "none of them.\n"
        "environment: RANK = \"x1\" is not a number.\n"
        "environment: MASTER_ADDR is not set. Set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT together "
        "(torchrun does), or "
        "none of them.\n"
        "environment: MASTER_PORT = 70000 is outside 1 to 65535.");
  Variables v = kTorchrun;
  v["RANK"] = "8";
  CHECK(problems(v) == "torchrun: RANK = 8 is outside 0 to 7 (WORLD_SIZE = 8).");
  v = kTorchrun;
  v["LOCAL_RANK"] = "4";
  CHECK(problems(v) == "torchrun: LOCAL_RANK = 4 is outside 0 to 3 (LOCAL_WORLD_SIZE = 4).");
  CHECK(problems({{"WORLD_SIZE", "2"}}).starts_with("environment: RANK is not set."));
}

}  // namespace
}  // namespace colossal::comm
