// SPDX-License-Identifier: Apache-2.0
// What a Group handle points to: this rank's end of one group. Private to comm.
#pragma once
#include <ATen/core/Tensor.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "colossal/comm/backend.h"
#include "colossal/comm/group.h"
#include "colossal/comm/recorder.h"

namespace colossal::comm {

struct Group::State {
  std::string name;
  std::vector<int> ranks;
  int index = 0;
  at::Device device = at::kCPU;
  std::shared_ptr<Recorder> recorder;
  std::unique_ptr<Backend> backend;  // null for a group of one
  int group_id = -1;                 // in the recorder
  uint64_t sequence = 0;             // collectives issued so far

  // The first failure makes the group unusable: members no longer agree on what comes next. Callable from any
  // thread.
  void fail(const std::string& cause) noexcept;
  bool failed() const { return failed_.load(std::memory_order_acquire); }
  std::string cause() const;

 private:
  std::atomic<bool> failed_{false};
  mutable std::mutex mutex_;
  std::string cause_;
};

}  // namespace colossal::comm
