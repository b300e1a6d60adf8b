// SPDX-License-Identifier: Apache-2.0
// tests/programs/ranks.cpp, a small run of ranks, as the process_ tests of this folder start it.
//
//   const Finished run = run_program({"--launch", "3", "--event", "kill:1:17"});
//
// Thread safety: as run_process.
#pragma once
#include <string>
#include <vector>

#include "tests/support/process.h"

namespace colossal::testing {

inline const std::string kRanks = COLOSSAL_PROGRAMS "/ranks";

inline Finished run_program(std::vector<std::string> arguments, const RunOptions& options = {}) {
  arguments.insert(arguments.begin(), kRanks);
  return run_process(arguments, options);
}

// The parts stand in the text in this order.
inline bool in_order(const std::string& text, const std::vector<std::string>& parts) {
  size_t at = 0;
  for (const std::string& part : parts) {
    if ((at = text.find(part, at)) == std::string::npos) return false;
    at += part.size();
  }
  return true;
}

}  // namespace colossal::testing
