// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/run_folder.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <torch/version.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/host.h"
#include "colossal/base/text.h"
#include "colossal/base/version.h"

namespace colossal::train {
namespace {

std::string utc_now() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02} UTC", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace

std::string processor_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with("model name") && colon != line.npos)
      return std::string(trim(line.substr(colon + 1)));
  }
  return "unknown";
}

Json run_environment(int64_t world_size) {
  utsname system{};
  uname(&system);
  const auto memory = static_cast<double>(host_memory().total);
  return {{"started", utc_now()},
          {"ranks", world_size},
          {"host", system.nodename},
          {"system", fmt::format("{} {} {}", system.sysname, system.release, system.machine)},
          {"processor", processor_name()},
          {"cores", std::thread::hardware_concurrency()},
          {"memory", human_bytes(memory)},
          {"colossal", kVersion},
          {"torch", TORCH_VERSION},
          {"compiler", fmt::format("gcc {}", __VERSION__)}};
}

void write_run_folder(const RunConfig& config, const Json& environment) {
  const RunFolder folder{config.run.output};
  create_folders(folder.root);
  write_file_durably(folder.config(), run_config_toml(config));
  write_file_durably(folder.environment(), environment.dump(2) + "\n");
}

}  // namespace colossal::train
