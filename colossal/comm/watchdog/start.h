// SPDX-License-Identifier: Apache-2.0
// Brings up the failure detection of a run: hubs on ranks 0 and 1, their addresses through the store, a Watchdog on every rank.
//
//   watchdog_ = start_watchdog(environment, options, store, recorder, [this](auto& reason) { abort(reason); });
//
// All ranks must call it. Thread safety: one thread at a time.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "colossal/comm/watchdog/watchdog.h"
#include "colossal/comm/world.h"

namespace colossal::comm {

// CommError when the hubs do not come up within the connect timeout.
std::unique_ptr<Watchdog> start_watchdog(const RankEnvironment& environment, const WorldOptions& options,
                                         Store store, std::shared_ptr<Recorder> recorder,
                                         std::function<void(const std::string& reason)> abort);

}  // namespace colossal::comm
