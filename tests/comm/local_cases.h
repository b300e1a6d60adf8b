// SPDX-License-Identifier: Apache-2.0
// What every group of local members must get right; used with threads and with processes.
#pragma once
#include "local_ranks.h"

namespace colossal::comm::local {

// Runs every collective with pieces of `count` elements and compares with what it must give; throws on a difference.
void check_collectives(Backend& backend, int n, int index, int64_t count, bool overlapped);
// Reductions of every dtype and op.
void check_reductions(Backend& backend, int n, int index, int64_t count);
// Rings, exchanges and many messages in one batch.
void check_transfers(Backend& backend, int n, int index, int64_t count);

}  // namespace colossal::comm::local
