// SPDX-License-Identifier: Apache-2.0
// Reading another member's tensors where they are: directly among threads of a process, through process_vm_readv between
// processes that may (probed once per group; ptrace rules of the host can forbid it).
//
//   const void* x = reach.borrow(peer, address, bytes, scratch);
//
// Nothing is ever written there: a member that gave up may have put its memory to another use.
#pragma once
#include "colossal/comm/backends/local/session.h"

namespace colossal::comm::local {

class Reach {
 public:
  enum class Way { none, threads, processes };

  Reach(Session& session, Way way) : session_(&session), way_(way) {}
  // The best way from this member to all others; the group takes the worst of its members'.
  static Way probe(const Session& session);

  bool direct() const { return way_ != Way::none; }
  bool threads() const { return way_ == Way::threads; }

  // Throws CommError when the peer's process is gone.
  void fetch(int peer, uint64_t address, void* to, size_t bytes) const;
  // The bytes at `address`: in place, or copied to `scratch`.
  const void* borrow(int peer, uint64_t address, size_t bytes, void* scratch) const {
    if (way_ == Way::threads) {
      return reinterpret_cast<const void*>(address);
    }
    fetch(peer, address, scratch, bytes);
    return scratch;
  }

 private:
  Session* session_;
  Way way_;
};

// While it lives, tensors of other threads may be read.
class Touching {
 public:
  explicit Touching(Session& session) : session_(session) { session_.begin_touching(); }
  ~Touching() { session_.end_touching(); }
  Touching(const Touching&) = delete;

 private:
  Session& session_;
};

}  // namespace colossal::comm::local
