// SPDX-License-Identifier: Apache-2.0
// The flight recorder of a rank on disk, for those who ask afterwards what it was doing.
//
//   dump_recorder(recorder_path("runs/a/flight-recorder", 2), {.rank = 2, .step = 17, .verdict = reason}, recorder, 1s);
//
// Thread-safe.
#pragma once
#include <chrono>
#include <filesystem>
#include <string>

#include "colossal/comm/recorder.h"

namespace colossal::comm {

struct DumpHead {
  int rank = 0;
  int64_t step = -1;  // -1: none yet
  std::string verdict;
};

std::filesystem::path recorder_path(const std::filesystem::path& folder,
                                    int rank);                    // <folder>/rank-00002.json
std::string recorder_paths(const std::filesystem::path& folder);  // <folder>/rank-*.json

// A JSON object: rank, step, verdict, time (seconds since 1970), collectives (Recorder::dump(), newest last). Creates the folder.
// True when it has been written within `patience`: a disk that does not answer may be what everything waits for.
bool dump_recorder(const std::filesystem::path& path, const DumpHead& head, const Recorder& recorder,
                   std::chrono::milliseconds patience) noexcept;

}  // namespace colossal::comm
