// SPDX-License-Identifier: Apache-2.0
// A collective under way. Must be waited for: a Work that is dropped unwaited waits in its destructor.
//
//   Work work = all_reduce_async(gradient, group);
//   ...                                              // compute
//   work.wait();                                     // gradient may be used from here on
#pragma once
#include <memory>

namespace colossal::comm {

class [[nodiscard]] Work {
 public:
  struct State;  // the pending operation, its tensors (kept alive) and its recorder entry
  Work();        // already complete
  explicit Work(std::unique_ptr<State> state);
  Work(Work&&) noexcept;
  Work& operator=(Work&&) noexcept;
  ~Work();

  // Throws CommError naming op, group, sequence number and rank. Safe to call again.
  void wait();

 private:
  std::unique_ptr<State> state_;
};

}  // namespace colossal::comm
