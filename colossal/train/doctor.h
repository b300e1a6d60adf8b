// SPDX-License-Identifier: Apache-2.0
// What `colossal doctor` finds out about the machine.
//
//   fmt::print("{}", examine_machine(2).text());
//
// Thread safety: measures with all intra-op threads; call from one thread.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace colossal::train {

struct MachineReport {
  std::vector<std::pair<std::string, std::string>> facts;  // label, value
  std::vector<std::string> warnings;
  std::string text() const;
};

MachineReport examine_machine(int num_ranks);

// What slows down ranks of `threads` threads each on one host of so many cores, where those OpenMP runtimes (paths) are loaded.
std::vector<std::string> machine_warnings(int num_ranks, int threads, int cores,
                                          const std::set<std::string>& openmp_runtimes);

// That of them which is about cores; `setting` is what says the number of threads.
std::optional<std::string> cores_warning(int num_ranks, int threads, int cores, std::string_view setting);

}  // namespace colossal::train
