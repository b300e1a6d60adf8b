// SPDX-License-Identifier: Apache-2.0
// What lies where below run.output, and where a run takes place.
//
//   write_run_folder(config, run_environment(world_size));    // config.toml, environment.json
//
// Thread-safe: pure functions but for the files they write.
#pragma once
#include <filesystem>
#include <string>

#include "colossal/base/json.h"
#include "colossal/train/config.h"

namespace colossal::train {

struct RunFolder {
  std::filesystem::path root;

  std::filesystem::path config() const { return root / "config.toml"; }
  std::filesystem::path environment() const { return root / "environment.json"; }
  std::filesystem::path metrics() const { return root / "metrics.jsonl"; }
  std::filesystem::path samples() const { return root / "samples.jsonl"; }
  std::filesystem::path tensorboard() const { return root / "tensorboard"; }
  std::filesystem::path checkpoints() const { return root / "checkpoints"; }
  std::filesystem::path profile() const { return root / "profile"; }
  std::filesystem::path flight_recorder() const { return root / "flight-recorder"; }
  std::filesystem::path report() const { return root / "report.html"; }
  std::filesystem::path comparison() const { return root / "comparison.html"; }  // with other runs
};

// "AMD EPYC 7B13", as /proc/cpuinfo has it; "unknown" where it has none.
std::string processor_name();

// Host, processor, memory, versions, number of ranks: what somebody who compares two runs asks for.
Json run_environment(int64_t world_size);

// Creates the folder and writes the resolved configuration and the environment. IoError names the path.
void write_run_folder(const RunConfig& config, const Json& environment);

}  // namespace colossal::train
