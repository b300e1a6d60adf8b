// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/command.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/launcher.h"

namespace colossal::cli {

int world_size(int num_ranks) {
  const comm::RankEnvironment environment = comm::environment_from_launcher();
  return environment.launcher == "single" ? num_ranks : environment.world_size;
}

int run_as_ranks(int num_ranks, const Invocation& invocation, const std::function<int()>& body) {
  if (num_ranks > 1 && comm::environment_from_launcher().launcher == "single")
    return comm::launch_local(num_ranks, invocation.arguments);
  return body();
}

}  // namespace colossal::cli
