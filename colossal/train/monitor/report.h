// SPDX-License-Identifier: Apache-2.0
// One page with the curves of one run or several: `colossal report RUN...`.
//
//   std::filesystem::path page = write_report({"runs/first"});   // runs/first/report.html
//
// The page stands alone: styles, script and data are in the file, nothing is fetched. Thread-safe.
#pragma once
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/json.h"

namespace colossal::train {

// What the page shows of one run folder: columns of metrics.jsonl, samples, configuration, environment. ConfigError
// when there is no such folder, or no metrics.jsonl in it; everything else may be missing.
Json report_data(const std::filesystem::path& run);

// The whole page around the data of some runs.
std::string report_html(const std::vector<Json>& runs);

// Reads the run folders and writes the page to `page`, by default report.html of the run, comparison.html of the first of several. Returns its
// path.
std::filesystem::path write_report(const std::vector<std::filesystem::path>& runs,
                                   const std::optional<std::filesystem::path>& page = std::nullopt);

}  // namespace colossal::train
