// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/error.h"

#include "colossal/base/text.h"

namespace colossal {

bool found_by_all_ranks(ExitCode code) {
  return code == ExitCode::config || code == ExitCode::numerics || code == ExitCode::preempted;
}

ConfigError::ConfigError(std::vector<std::string> problems)
    : Error(join(problems, "\n"), ExitCode::config), problems_(std::move(problems)) {}

}  // namespace colossal
