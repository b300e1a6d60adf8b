// SPDX-License-Identifier: Apache-2.0
// One issued collective, from the call of the backend to its completion. Private to comm.
#pragma once
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "colossal/comm/group_state.h"
#include "colossal/comm/work.h"

namespace colossal::comm {

struct Work::State {
  std::string_view op;
  std::shared_ptr<Group::State> group;
  uint64_t group_sequence = 0;
  uint64_t record = 0;  // sequence number in the recorder
  Backend::Pending pending;
  std::vector<at::Tensor> keep;  // alive until the backend is done with them
  std::function<void()> finish;  // runs after success: copies a result to where the caller wants it

  void wait();
};

// Runs `call` on the backend of the group under the rules of every collective: a dead group refuses, a
// failure kills the group, and the message says where.
void guarded(const Work::State& work, const std::function<void()>& call);

}  // namespace colossal::comm
