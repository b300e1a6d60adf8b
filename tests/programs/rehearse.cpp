// SPDX-License-Identifier: Apache-2.0
// Real ranks, each a process of this host, that count one training step of every model and mode of tests/train/rehearsal_cases.h.
//
//   rehearse 4 FOLDER       # writes FOLDER/rank-0.json .. rank-3.json: {"gpt2 2d 4": {"peak_bytes": ..}, ..}
#include <ATen/Parallel.h>

#include <fstream>

#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/comm/launch/launcher.h"
#include "tests/train/rehearsal_cases.h"

using namespace colossal;

int main(int argc, char** argv) {
  const int ranks = std::stoi(argv[1]);
  std::shared_ptr<comm::World> world;
  try {
    const comm::RankEnvironment environment = comm::environment_from_launcher();
    if (ranks > 1 && environment.launcher == "single") return comm::launch_local(ranks, {argv, argv + argc});
    at::set_num_threads(1);
    world = comm::World::connect(environment);
    Json all;
    for (const testing::RehearsalCase& c : testing::rehearsal_cases(ranks))
      all[c.name] = train::to_json(train::rehearse(world, c.rehearsal));
    std::ofstream(fmt::format("{}/rank-{}.json", argv[2], world->rank())) << all.dump();
  } catch (const std::exception& error) {
    return comm::report_failure(error, world.get());
  }
  return 0;
}
