// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/environment.h"

#include <unistd.h>

#include <charconv>
#include <cstdlib>

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::comm {
namespace {

// Reads variables of one launcher and collects what is wrong with them.
class Reader {
 public:
  Reader(const VariableLookup& variables, std::string launcher, std::string advice)
      : variables_(variables), launcher_(std::move(launcher)), advice_(std::move(advice)) {}

  std::optional<std::string> text(const std::string& name) const { return variables_(name); }

  std::string required(const std::string& name) {
    std::optional<std::string> value = text(name);
    if (!value) problem(fmt::format("{} is not set. {}", name, advice_));
    return value.value_or("");
  }

  int number(const std::string& name, int low, int high) {
    std::string value = required(name);
    return value.empty() ? low : parse(name, value, low, high);
  }

  int number_or(const std::string& name, int fallback, int low, int high) {
    std::optional<std::string> value = text(name);
    return value ? parse(name, *value, low, high) : fallback;
  }

  void problem(const std::string& text) { problems_.push_back(launcher_ + ": " + text); }

  // Rank and size of the job, then of this host.
  void ranks(RankEnvironment& e, const std::string& rank, const std::string& size) {
    e.world_size = number(size, 1, 1 << 20);
    e.rank = number(rank, 0, 1 << 20);
    if (problems_.empty() && e.rank >= e.world_size)
      problem(fmt::format("{} = {} is outside 0 to {} ({} = {}).", rank, e.rank, e.world_size - 1, size,
                          e.world_size));
  }
  void local_ranks(RankEnvironment& e, const std::string& rank, const std::string& size) {
    const bool loopback =
        e.master_address == "localhost" || e.master_address == "::1" || e.master_address.starts_with("127.");
    const bool given = text(rank) || text(size);
    e.local_world_size = number_or(size, loopback || given ? e.world_size : 1, 1, 1 << 20);
    e.local_rank = number_or(rank, loopback ? e.rank : 0, 0, 1 << 20);
    if (problems_.empty() && e.local_rank >= e.local_world_size)
      problem(fmt::format("{} = {} is outside 0 to {} ({} = {}).", rank, e.local_rank, e.local_world_size - 1,
                          size, e.local_world_size));
  }

  void throw_problems() const {
    if (!problems_.empty()) throw ConfigError(problems_);
  }

 private:
  int parse(const std::string& name, const std::string& value, int low, int high) {
    int result = 0;
    auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc() || end != value.data() + value.size()) {
      problem(fmt::format("{} = \"{}\" is not a number.", name, value));
      return low;
    }
    if (result < low || result > high) {
      problem(fmt::format("{} = {} is outside {} to {}.", name, result, low, high));
      return low;
    }
    return result;
  }

  const VariableLookup& variables_;
  std::string launcher_, advice_;
  std::vector<std::string> problems_;
};

uint64_t fnv1a(const std::string& text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3u;
  return hash;
}

// Short and free of odd characters: it becomes part of store keys and shared-memory names.
std::string job_name(const std::string& text) { return fmt::format("{:016x}", fnv1a(text)); }

// Below the range that Linux gives to outgoing connections (32768 up), above the registered services we know
// of.
int port_of_job(const std::string& text) { return 20000 + static_cast<int>(fnv1a(text) % 12000); }

RankEnvironment from_own_launcher(const VariableLookup& variables) {
  Reader read(variables, "colossal launcher",
              "These variables are set by `colossal ... -n N`; unset all COLOSSAL_* variables.");
  RankEnvironment e;
  e.launcher = "colossal";
  read.ranks(e, "COLOSSAL_RANK", "COLOSSAL_WORLD_SIZE");
  e.local_rank = e.rank;
  e.local_world_size = e.world_size;
  e.master_port = read.number("COLOSSAL_MASTER_PORT", 1, 65535);
  e.store_fd = read.number_or("COLOSSAL_STORE_FD", -1, 0, 1 << 20);
  e.job = read.required("COLOSSAL_JOB");
  read.throw_problems();
  return e;
}

RankEnvironment from_torchrun(const VariableLookup& variables) {
  const bool elastic = variables("TORCHELASTIC_RUN_ID").has_value();
  Reader read(variables, elastic ? "torchrun" : "environment",
              "Set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT together (torchrun does), or none of them.");
  RankEnvironment e;
  e.launcher = elastic ? "torchrun" : "environment";
  read.ranks(e, "RANK", "WORLD_SIZE");
  e.master_address = read.required("MASTER_ADDR");
  e.master_port = read.number("MASTER_PORT", 1, 65535);
  read.local_ranks(e, "LOCAL_RANK", "LOCAL_WORLD_SIZE");
  e.agent_store = iequals(read.text("TORCHELASTIC_USE_AGENT_STORE").value_or(""), "true");
  e.job = job_name(fmt::format("{} {} {}:{}", read.text("TORCHELASTIC_RUN_ID").value_or("none"),
                               read.text("TORCHELASTIC_RESTART_COUNT").value_or("0"), e.master_address,
                               e.master_port));
  read.throw_problems();
  return e;
}

// Address and port for launchers that name a job but no meeting point.
void meeting_point(Reader& read, RankEnvironment& e, const std::string& job,
                   const std::string& default_address) {
  if (default_address.empty() && e.world_size > 1)
    e.master_address = read.required("MASTER_ADDR");
  else
    e.master_address = read.text("MASTER_ADDR").value_or(default_address);
  e.master_port = read.number_or("MASTER_PORT", port_of_job(job), 1, 65535);
  e.job = job_name(fmt::format("{} {}:{}", job, e.master_address, e.master_port));
}

RankEnvironment from_open_mpi(const VariableLookup& variables) {
  Reader read(variables, "mpirun",
              "On several hosts set MASTER_ADDR to the host of rank 0 (mpirun -x MASTER_ADDR=...).");
  RankEnvironment e;
  e.launcher = "mpirun";
  read.ranks(e, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE");
  read.local_ranks(e, "OMPI_COMM_WORLD_LOCAL_RANK", "OMPI_COMM_WORLD_LOCAL_SIZE");
  std::string job = "mpirun";
  for (const char* name : {"PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "OMPI_MCA_orte_ess_jobid"})
    if (std::optional<std::string> value = read.text(name)) {
      job += " " + *value;
      break;
    }
  meeting_point(read, e, job, e.local_world_size == e.world_size ? "127.0.0.1" : "");
  read.throw_problems();
  return e;
}

RankEnvironment from_slurm(const VariableLookup& variables) {
  Reader read(variables, "srun", "Start the program with srun.");
  RankEnvironment e;
  e.launcher = "srun";
  read.ranks(e, "SLURM_PROCID", read.text("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS");
  const std::string nodes =
      read.text("SLURM_STEP_NODELIST").value_or(read.text("SLURM_JOB_NODELIST").value_or(""));
  const std::string counts =
      read.text("SLURM_STEP_TASKS_PER_NODE").value_or(read.text("SLURM_TASKS_PER_NODE").value_or(""));
  const int node = read.number_or("SLURM_NODEID", 0, 0, 1 << 20);
  e.local_world_size = slurm_tasks_on_node(counts, node).value_or(nodes.empty() ? e.world_size : 1);
  e.local_rank = read.number_or("SLURM_LOCALID", nodes.empty() ? e.rank : 0, 0, 1 << 20);
  const std::string host = e.local_world_size == e.world_size ? "127.0.0.1" : first_slurm_node(nodes);
  meeting_point(read, e,
                fmt::format("slurm {} {}", read.text("SLURM_JOB_ID").value_or("0"),
                            read.text("SLURM_STEP_ID").value_or("0")),
                host);
  read.throw_problems();
  return e;
}

RankEnvironment from_pmi(const VariableLookup& variables) {
  Reader read(variables, "mpiexec", "On several hosts set MASTER_ADDR to the host of rank 0.");
  RankEnvironment e;
  e.launcher = "mpiexec";
  read.ranks(e, "PMI_RANK", "PMI_SIZE");
  read.local_ranks(e, "MPI_LOCALRANKID", "MPI_LOCALNRANKS");
  // MPICH names the job only when a scheduler does; on one host all ranks are children of one proxy process.
  const std::string job = read.text("PMI_JOBID").value_or(fmt::format("{}", getppid()));
  meeting_point(read, e, "pmi " + job, e.local_world_size == e.world_size ? "127.0.0.1" : "");
  read.throw_problems();
  return e;
}

}  // namespace

std::string first_slurm_node(const std::string& list) {
  const size_t end = list.find_first_of(",[");
  if (end == std::string::npos || list[end] == ',') return list.substr(0, end);
  const size_t close = list.find(']', end);
  const size_t number_end = list.find_first_of(",-]", end);
  if (close == std::string::npos) return list.substr(0, end);
  const size_t tail_end = list.find(',', close);
  const size_t tail_length = tail_end == std::string::npos ? std::string::npos : tail_end - close - 1;
  return list.substr(0, end) + list.substr(end + 1, number_end - end - 1) +
         list.substr(close + 1, tail_length);
}

std::optional<int> slurm_tasks_on_node(const std::string& counts, int node) {
  for (const std::string& part : split(counts, ',')) {
    int tasks = 0, repeat = 1;
    const char* end = part.data() + part.size();
    auto [rest, error] = std::from_chars(part.data(), end, tasks);
    if (error != std::errc()) return std::nullopt;
    if (rest != end && std::string_view(rest, end).starts_with("(x")) std::from_chars(rest + 2, end, repeat);
    if (node < repeat) return tasks;
    node -= repeat;
  }
  return std::nullopt;
}

RankEnvironment environment_from(const VariableLookup& variables) {
  auto any = [&](std::initializer_list<const char*> names) {
    return std::any_of(names.begin(), names.end(), [&](const char* n) { return variables(n).has_value(); });
  };
  if (any({"COLOSSAL_RANK"})) return from_own_launcher(variables);
  if (any({"RANK", "WORLD_SIZE"})) return from_torchrun(variables);
  if (any({"OMPI_COMM_WORLD_RANK"})) return from_open_mpi(variables);
  if (any({"SLURM_PROCID"}) && any({"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"})) return from_slurm(variables);
  if (any({"PMI_RANK", "PMI_SIZE"})) return from_pmi(variables);
  return {};
}

RankEnvironment environment_from_launcher() {
  return environment_from([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  });
}

}  // namespace colossal::comm
