// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/doctor.h"

#include <ATen/Parallel.h>
#include <link.h>
#include <torch/version.h>

#include <fstream>
#include <set>
#include <thread>

#include "colossal/base/text.h"
#include "colossal/base/version.h"
#include "colossal/tensor/matmul_peak.h"
#include "colossal/tensor/matmul_tuner.h"
#include "colossal/train/memory_check.h"
#include "colossal/train/monitor/run_folder.h"

namespace colossal::train {
namespace {

using Clock = std::chrono::steady_clock;

// Bytes per second of y += x over arrays that no cache holds: two reads and a write.
double memory_bandwidth() {
  at::NoGradGuard no_grad;
  const int64_t n = 1 << 26;
  at::Tensor x = at::ones({n}, at::kFloat);
  at::Tensor y = at::zeros({n}, at::kFloat);
  double best = 1e9;
  for (int repeat = 0; repeat < 4; ++repeat) {
    const auto start = Clock::now();
    y.add_(x);
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return 3.0 * 4.0 * static_cast<double>(n) / best;
}

// File names of the OpenMP runtimes that are mapped into this process.
std::set<std::string> openmp_runtimes() {
  std::set<std::string> found;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* out) {
        const std::string path = info->dlpi_name == nullptr ? "" : info->dlpi_name;
        const std::string name = path.substr(path.rfind('/') + 1);
        if (name.starts_with("libgomp") || name.starts_with("libomp") || name.starts_with("libiomp"))
          static_cast<std::set<std::string>*>(out)->insert(path);
        return 0;
      },
      &found);
  return found;
}

// Which library multiplies, for which product, and what the others reach.
std::string explain(const tensor::MatmulChoice& choice) {
  std::vector<std::string> rates;
  for (const auto& [kernel, gflops] : choice.gflops)
    rates.push_back(fmt::format("{} {:.0f}", kernel, gflops));
  return fmt::format(
      "{} for {} (rows x inputs->outputs): {}", choice.kernel, choice.key,
      rates.empty() ? "not measured" : join(rates, ", ") + " GFLOP/s, the first unless another is 8% faster");
}

}  // namespace

std::string MachineReport::text() const {
  std::string out;
  for (const auto& [label, value] : facts) out += fmt::format("{:<24} {}\n", label, value);
  for (const std::string& warning : warnings) out += fmt::format("warning: {}\n", warning);
  if (warnings.empty()) out += "nothing is wrong\n";
  return out;
}

MachineReport examine_machine(int num_ranks) {
  MachineReport report;
  const auto fact = [&](std::string label, std::string value) {
    report.facts.emplace_back(std::move(label), std::move(value));
  };
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  const char* omp = std::getenv("OMP_NUM_THREADS");
  const int threads = omp != nullptr ? at::get_num_threads() : std::max(1, cores / num_ranks);
  at::set_num_threads(threads);

  fact("colossal", kVersion);
  fact("libtorch", TORCH_VERSION);
  fact("processor", processor_name());
  fact("cores", std::to_string(cores));
  fact("threads per rank", fmt::format("{} with {} rank{}{}", threads, num_ranks, num_ranks == 1 ? "" : "s",
                                       omp != nullptr ? " (OMP_NUM_THREADS)" : ""));
  const HostMemory memory = host_memory();
  fact("memory", fmt::format("{}, {} available", human_bytes(static_cast<double>(memory.total)),
                             human_bytes(static_cast<double>(memory.available))));
  for (const auto& [name, dtype] : {std::pair{"fp32", at::kFloat}, std::pair{"bf16", at::kBFloat16}})
    fact(fmt::format("matrix products, {}", name),
         fmt::format("{:.0f} GFLOP/s", tensor::matmul_peak_flops(dtype, at::kCPU) / 1e9));
  fact("memory bandwidth", fmt::format("{:.1f} GB/s", memory_bandwidth() / 1e9));
  fact("backends", at::hasCUDA() ? "local, gloo, nccl" : "local, gloo");
  for (const tensor::MatmulChoice& choice : tensor::matmul_choices())
    fact("matrix product library", explain(choice));

  report.warnings = machine_warnings(num_ranks, threads, cores, openmp_runtimes());
  return report;
}

std::vector<std::string> machine_warnings(int num_ranks, int threads, int cores,
                                          const std::set<std::string>& openmp_runtimes) {
  std::vector<std::string> warnings;
  if (openmp_runtimes.size() != 1) {
    const std::vector<std::string> names(openmp_runtimes.begin(), openmp_runtimes.end());
    warnings.push_back(
        fmt::format("{} OpenMP runtimes are loaded ({}); there must be one, or threads fight for cores",
                    names.size(), join(names, ", ")));
  }
  if (const auto warning = cores_warning(num_ranks, threads, cores, "OMP_NUM_THREADS"))
    warnings.push_back(*warning);
  return warnings;
}

std::optional<std::string> cores_warning(int num_ranks, int threads, int cores, std::string_view setting) {
  if (num_ranks > cores)
    return fmt::format("{} ranks on {} cores wait for one another: start at most {}", num_ranks, cores,
                       cores);
  if (threads <= cores / num_ranks) return std::nullopt;
  return fmt::format("{} rank{} x {} threads on {} cores: set {} to {}", num_ranks, num_ranks == 1 ? "" : "s",
                     threads, cores, setting, cores / num_ranks);
}

}  // namespace colossal::train
