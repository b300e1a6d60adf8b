// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/named_folder.h"

#include <fmt/format.h>

#include <algorithm>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/train/monitor/run_folder.h"

namespace colossal::train {
namespace fs = std::filesystem;
namespace {

bool is_run(const fs::path& folder, Runs kind) {
  std::error_code unreadable;
  if (kind == Runs::with_metrics) return fs::is_regular_file(RunFolder{folder}.metrics(), unreadable);
  try {
    return !checkpoint::list(folder / "checkpoints").empty();
  } catch (const fs::filesystem_error&) {
    return false;  // one that cannot be read is none to name
  }
}

// By name.
std::vector<std::string> runs_in(const fs::path& place, Runs kind) {
  std::vector<std::string> runs;
  std::error_code error;
  for (fs::directory_iterator it(place, error), end; !error && it != end; it.increment(error)) {
    if (is_run(it->path(), kind)) runs.push_back(it->path().lexically_normal().string());
  }
  std::sort(runs.begin(), runs.end());
  return runs;
}

}  // namespace

void refuse_named_folder(const fs::path& path, const std::string& why, const std::string& wanted, Runs near) {
  std::vector<std::string> runs;
  for (const fs::path& place :
       {path, (path / "").lexically_normal().parent_path().parent_path(), fs::path("runs")}) {
    if (runs.empty()) runs = runs_in(place.empty() ? "." : place, near);
  }
  constexpr size_t kMost = 5;
  const std::string more = runs.size() > kMost ? fmt::format(" and {} more", runs.size() - kMost) : "";
  runs.resize(std::min(runs.size(), kMost));
  const char* what = near == Runs::with_metrics ? "Runs with metrics" : "Runs with checkpoints";
  throw ConfigError(fmt::format("{}: {}. Name {}.{}", path.string(), why, wanted,
                                runs.empty() ? "" : fmt::format(" {}: {}{}.", what, join(runs, ", "), more)));
}

void check_named_folder(const fs::path& path, const std::string& wanted, Runs near) {
  std::error_code unreadable;
  if (!fs::exists(path, unreadable)) refuse_named_folder(path, "no such folder", wanted, near);
  if (!fs::is_directory(path, unreadable)) refuse_named_folder(path, "is a file", wanted, near);
}

}  // namespace colossal::train
