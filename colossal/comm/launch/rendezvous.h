// SPDX-License-Identifier: Apache-2.0
// The connection of this rank to the store of the run: served by rank 0, by our launcher's socket or by torchrun's agent.
//
//   Store store = connect_store(environment, 10s).prefixed(environment.job);
//
// Thread safety: may be called from any thread.
#pragma once
#include <chrono>

#include "colossal/comm/store.h"
#include "colossal/comm/world.h"

namespace colossal::comm {

// CommError (exit code 2) within `timeout` when the port is in use, the address is wrong or nobody serves there.
Store connect_store(const RankEnvironment& environment, std::chrono::milliseconds timeout);

// All ranks are on this host as far as the launcher said, so the loopback interface is enough (and safer).
bool on_one_host(const RankEnvironment& environment);

}  // namespace colossal::comm
