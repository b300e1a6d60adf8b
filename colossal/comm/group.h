// SPDX-License-Identifier: Apache-2.0
// A set of ranks that communicate: a cheap handle, copied freely. The default group has one member: itself.
//
//   const Group& data = mesh.group("data");
//   all_reduce(gradient, data, ReduceOp::avg);
//
// Thread safety: one thread at a time per group; distinct groups may be used concurrently.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace colossal::comm {

class Backend;
class Recorder;

class Group {
 public:
  struct State;  // group_state.h, private to comm
  Group();       // one member; every collective on it is a no-op and nothing is recorded
  explicit Group(std::shared_ptr<State> state) : state_(std::move(state)) {}

  int size() const;                       // number of members
  int index() const;                      // this rank's position, 0 to size() - 1
  const std::vector<int>& ranks() const;  // world ranks by index
  const std::string& name() const;        // "data", "data+row", "world"
  std::string_view backend()
      const;  // who carries the bytes: "local", "gloo", "nccl", "fake"; "none" for one member
  State& state() const { return *state_; }
  const std::shared_ptr<State>& shared_state() const { return state_; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace colossal::comm
