// SPDX-License-Identifier: Apache-2.0
// Collective operations advance in rounds: every member fills its half of staging room, all exchange, every member
// reads the others' halves.
//
//   std::memcpy(lockstep.outbox(), x, bytes);
//   lockstep.open({.op = Op::all_reduce, .count = n});    // first round: also compares what everybody asked for
//   std::memcpy(y, lockstep.inbox(peer), bytes);
//   lockstep.exchange();                                  // further rounds
//
// Why two halves are enough: a member posts round k only after it has read round k-1, and reads round k only when all
// have posted it. So when a member has read round k, nobody reads its half of round k-1 any more.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "colossal/comm/backend.h"
#include "colossal/comm/backends/local/session.h"

namespace colossal::comm::local {

enum class Op : uint8_t {
  join,
  all_reduce,
  all_gather,
  reduce_scatter,
  all_to_all,
  broadcast,
  reduce,
  gather,
  scatter,
  barrier
};

// What the caller's thread should keep going while it waits in a collective: the messages it has under way.
class Background {
 public:
  virtual bool busy() const = 0;
  virtual void progress() = 0;

 protected:
  ~Background() = default;
};

class Lockstep final : private Task {
 public:
  Lockstep(Session& session, Background& background) : session_(session), background_(background) {}

  struct Call {
    Op op{};
    at::ScalarType dtype = at::kByte;
    ReduceOp reduce_op = ReduceOp::sum;
    int root = -1;
    int64_t count = 0;         // elements; must be equal on all members
    const void* in = nullptr;  // addresses that others may read directly
    const void* out = nullptr;
    uint8_t flags = 0;
  };

  // Starts the next operation with its first round. CommError on every member, naming who asked for what, when the
  // members do not ask for the same.
  void open(Lane lane, const Call& call);
  // Publishes this member's half and waits for everybody's.
  void exchange() {
    publish();
    collect();
  }
  // The two halves of exchange(), for what can be done while the others come.
  void publish();
  void collect();

  std::byte* outbox() const { return session_.segment().stage(session_.index(), (round_ + 1) & 1); }
  const std::byte* inbox(int peer) const { return session_.segment().stage(peer, round_ & 1); }
  // What `peer` said when the operation under way was opened.
  const OpHeader& said(int peer) const { return said_[peer]; }

  std::string title() const override;

 private:
  bool missing(int peer) const override;
  void idle() override;
  void verify();

  Session& session_;
  Background& background_;
  Lane lane_ = Lane::caller;
  uint64_t round_ = 0;
  uint64_t sequence_ = 0;
  OpHeader mine_;
  std::vector<OpHeader> said_;
};

std::string_view op_name(Op op);

}  // namespace colossal::comm::local
