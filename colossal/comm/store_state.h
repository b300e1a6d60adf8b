// SPDX-License-Identifier: Apache-2.0
// The c10d store behind Store. Private to comm.
//
//   c10::intrusive_ptr<c10d::Store> raw = store.state().store;   // what ProcessGroupGloo and NCCL take
//
// Thread-safe.
#pragma once
#include <atomic>
#include <mutex>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include "colossal/comm/store.h"

namespace colossal::comm {

// Set once, by Store::abort(); shared by all handles of one connection family.
class AbortFlag {
 public:
  void raise(const std::string& reason) noexcept;
  void check() const;  // throws CommError with the reason when raised

 private:
  std::atomic<bool> raised_{false};
  mutable std::mutex mutex_;
  std::string reason_;
};

struct Store::State {
  c10::intrusive_ptr<c10d::Store> store;  // prefixed; its blocking calls end when the flag is raised
  c10::intrusive_ptr<c10d::Store> base;   // the connection itself
  std::string prefix;
  std::shared_ptr<AbortFlag> flag;
};

}  // namespace colossal::comm
