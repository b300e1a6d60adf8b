// SPDX-License-Identifier: Apache-2.0
// Refuses a run whose ranks certainly cannot hold their model, before one of them starts.
//
//   check_memory(config, num_ranks, process_bytes());   // 2 ranks on this host
//
// Thread-safe: pure functions; they read what tells the memory of the host and the sizes of a model.
#pragma once
#include "colossal/base/host.h"
#include "colossal/train/config.h"

namespace colossal::train {

// ConfigError where weights, gradients and optimizer state of `ranks_here` ranks are more than `host` has left, with what would fit. Ranks
// that are still to be started need `process_bytes` each besides. Activations come on top: a run that passes may still need more. Runs
// on GPUs pass.
void check_memory(const RunConfig& config, int64_t ranks_here, int64_t process_bytes = 0,
                  const HostMemory& host = host_memory());

}  // namespace colossal::train
