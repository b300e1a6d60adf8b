// SPDX-License-Identifier: Apache-2.0
// Ranks as threads of this process: for tests, examples and notebooks-like experiments.
//
//   run_ranks(4, [](std::shared_ptr<World> world) {
//     at::Tensor x = at::ones({3});
//     all_reduce(x, world->group());
//   });
#pragma once
#include <functional>
#include <memory>

#include "colossal/comm/world.h"

namespace colossal::comm {

// Runs `body` once per rank, each on its own thread, and joins them. The first exception of any rank aborts
// the others and is rethrown with the rank in front. Ranks that do not finish within `options.timeout` throw
// CommError with each one's last collective. BackendKind::automatic is the local backend.
void run_ranks(int num_ranks, const std::function<void(std::shared_ptr<World>)>& body,
               const WorldOptions& options = {});

}  // namespace colossal::comm
