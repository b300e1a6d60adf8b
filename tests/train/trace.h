// SPDX-License-Identifier: Apache-2.0
// What a profiled rank wrote, read back.
//
//   for (const Span& span : spans(folder / "rank-00001.json", 1)) ...
#pragma once
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "colossal/base/file.h"
#include "colossal/base/json.h"

namespace colossal::testing {

struct Span {
  std::string name, category;
  int row = 0;
  double start = 0, end = 0;  // microseconds
  Json args = {};
  bool within(const Span& other) const { return start >= other.start - 1e-3 && end <= other.end + 1e-3; }
};

// Every event of a Chrome trace; all are of this rank.
inline std::vector<Span> spans(const std::filesystem::path& path, int rank) {
  const Json trace = Json::parse(read_file(path));
  std::vector<Span> result;
  bool sound = true;  // one check for all: there are many
  for (const Json& event : trace.at("traceEvents")) {
    sound = sound && event.at("pid") == rank;
    if (event.at("ph") == "M") continue;
    const double start = event.at("ts").get<double>(), duration = event.at("dur").get<double>();
    sound = sound && event.at("ph") == "X" && duration >= 0;
    result.push_back({event.at("name"), event.at("cat"), event.at("tid"), start, start + duration,
                      event.value("args", Json())});
  }
  CHECK(sound);
  return result;
}

}  // namespace colossal::testing
