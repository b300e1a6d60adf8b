// SPDX-License-Identifier: Apache-2.0
// Seconds of things that take turns: what every program here reports of a series.
//
//   Samples ours, theirs;
//   for (int i = 0; i < 9; ++i) { ours.add(seconds_of(a)); theirs.add(seconds_of(b)); }
//   Json row = {{"ours", ours.json()}, {"ratio", theirs.median() / ours.median()}};
//
// Not thread-safe.
#pragma once
#include <algorithm>
#include <chrono>
#include <numeric>
#include <vector>

#include "colossal/base/json.h"

namespace colossal::bench {

template <class Body>
double seconds_of(const Body& body) {
  const auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

class Samples {
 public:
  void add(double value) { sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), value), value); }

  // At least one sample; of an even number the upper middle.
  double median() const { return sorted_.at(sorted_.size() / 2); }
  double min() const { return sorted_.front(); }
  double max() const { return sorted_.back(); }
  double mean() const {
    return std::accumulate(sorted_.begin(), sorted_.end(), 0.0) / static_cast<double>(sorted_.size());
  }

  // Median and spread, multiplied by `scale`: 1e6 for microseconds.
  Json json(double scale = 1) const {
    return {{"median", median() * scale}, {"min", min() * scale}, {"max", max() * scale}};
  }

 private:
  std::vector<double> sorted_;
};

}  // namespace colossal::bench
