// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/host.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <string>

namespace colossal {
namespace {

namespace fs = std::filesystem;

// The number behind a word: "MemTotal: 24 kB", "inactive_file 4096".
int64_t number_after(const fs::path& path, const std::string& word) {
  std::ifstream in(path);
  for (std::string name; in >> name;) {
    int64_t number = 0;
    if (!(in >> number)) in.clear();
    if (name == word) return number;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return 0;
}

// Nothing where the file is missing or says "max".
std::optional<int64_t> number_in(const fs::path& path) {
  std::ifstream in(path);
  int64_t number = 0;
  return in >> number ? std::optional(number) : std::nullopt;
}

// Of control groups in their second version: "0::/user.slice/job.scope".
fs::path control_group(const fs::path& root) {
  std::ifstream in(root / "proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with("0::/")) return line.substr(4);
  }
  return {};
}

}  // namespace

HostMemory host_memory(const fs::path& root) {
  const fs::path info = root / "proc/meminfo", groups = root / "sys/fs/cgroup";
  HostMemory memory{.total = 1024 * number_after(info, "MemTotal:"),
                    .available = 1024 * number_after(info, "MemAvailable:")};
  // Every group that holds ours may set a limit. In a container the path may be the host's and lead nowhere, but for its last step.
  for (fs::path group = control_group(root);; group = group.parent_path()) {
    if (const auto limit = number_in(groups / group / "memory.max")) {
      const int64_t used = number_in(groups / group / "memory.current").value_or(0) -
                           number_after(groups / group / "memory.stat", "inactive_file");
      memory.total = std::min(memory.total, *limit);
      memory.available = std::clamp<int64_t>(*limit - used, 0, memory.available);
    }
    if (group.empty()) return memory;
  }
}

int64_t process_bytes(const fs::path& root) {
  return 1024 * number_after(root / "proc/self/smaps_rollup", "Private_Dirty:");
}

}  // namespace colossal
