// SPDX-License-Identifier: Apache-2.0
// Who am I: the RankEnvironment (world.h) that a launcher left in this process's environment variables.
//
//   RankEnvironment environment = environment_from_launcher();
//   if (environment.launcher == "single" && num_ranks > 1) return launch_local(num_ranks, arguments);
//
// Looked for in this order: our own launcher (COLOSSAL_RANK), torchrun or hand-set (RANK, WORLD_SIZE, ...),
// Open MPI (OMPI_COMM_WORLD_RANK), Slurm's srun (SLURM_PROCID), PMI launchers such as MPICH's mpiexec
// (PMI_RANK). Nothing set: one rank. MASTER_ADDR and MASTER_PORT, where set, win over what Open MPI, Slurm or
// PMI would give. Thread safety: reads the environment; do not call setenv at the same time.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "colossal/comm/world.h"

namespace colossal::comm {

// The value of one variable; nullopt when unset or empty.
using VariableLookup = std::function<std::optional<std::string>(const std::string&)>;

// Throws ConfigError with every variable that is missing, malformed or contradicts another.
RankEnvironment environment_from_launcher();
RankEnvironment environment_from(const VariableLookup& variables);

// First host of a Slurm node list: "gpu[07-09,12],login" -> "gpu07".
std::string first_slurm_node(const std::string& node_list);

// Entry `node` of a Slurm count list: ("2(x3),1", 3) -> 1. Nullopt when malformed or too short.
std::optional<int> slurm_tasks_on_node(const std::string& counts, int node);

}  // namespace colossal::comm
