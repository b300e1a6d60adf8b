// SPDX-License-Identifier: Apache-2.0
// The backends that the contract suite runs on, and ranks as threads on one of them.
//
//   on_backends(3, [](const Group& group) { ... });
#pragma once
#include <doctest/doctest.h>

#include "colossal/comm/collectives.h"
#include "colossal/comm/run_ranks.h"

namespace colossal::comm {

inline const std::vector<BackendKind>& contract_backends() {
  static const std::vector<BackendKind> kinds = {BackendKind::gloo, BackendKind::automatic};
  return kinds;
}

inline void on_worlds(int num_ranks, const std::function<void(World&)>& body) {
  for (const BackendKind kind : contract_backends()) {
    CAPTURE(static_cast<int>(kind));
    WorldOptions options;
    options.backend = kind;
    options.timeout = std::chrono::seconds(60);
    run_ranks(
        num_ranks, [&](std::shared_ptr<World> world) { body(*world); }, options);
  }
}

inline void on_backends(int num_ranks, const std::function<void(Group)>& body) {
  on_worlds(num_ranks, [&](World& world) { body(world.group()); });
}

// Small whole numbers that every dtype holds exactly; different for each member.
inline at::Tensor sample(int member, const std::vector<int64_t>& sizes, at::ScalarType type) {
  int64_t numel = 1;
  for (const int64_t s : sizes) numel *= s;
  return (at::arange(numel, at::kLong) * 7 + member * 3).remainder(11).view(sizes).to(type);
}

}  // namespace colossal::comm
