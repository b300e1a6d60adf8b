// SPDX-License-Identifier: Apache-2.0
#include "colossal/cli/command.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/comm/launch/launcher.h"

namespace colossal::cli {

int world_size(int num_ranks) {
  const comm::RankEnvironment environment = comm::environment_from_launcher();
  return environment.launcher == "single" ? num_ranks : environment.world_size;
}

int ranks_to_check(int num_ranks) {
  const comm::RankEnvironment environment = comm::environment_from_launcher();
  if (environment.launcher == "colossal") return 0;
  return environment.launcher == "single" ? num_ranks : environment.local_world_size;
}

int run_as_ranks(int num_ranks, const Invocation& invocation, const train::LaunchOptions& options,
                 const std::function<int(const train::Context&)>& body) {
  if (num_ranks > 1 && comm::environment_from_launcher().launcher == "single")
    return comm::launch_local(num_ranks, invocation.arguments);
  train::Context context;
  try {
    context = train::launch(options);
    return body(context);
  } catch (const std::exception& error) {
    return comm::report_failure(error, context.world.get());
  }
}

}  // namespace colossal::cli
