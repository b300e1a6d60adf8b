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

}  // namespace colossal::testing
