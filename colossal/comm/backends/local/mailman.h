// SPDX-License-Identifier: Apache-2.0
// Messages between pairs of members. Each ordered pair has a mailbox: small messages pass through its ring and are done
// when they lie there, large ones are read by the receiver where they are, or stream through the ring.
//
//   Mailman::Batch batch(mailman, transfers);      // announced; receives what is there already
//   batch.wait();                                  // all transfers of the batch done, in any order
//
// Messages of one pair arrive in the order of their calls. One thread at a time.
#pragma once
#include <vector>

#include "colossal/comm/backend.h"
#include "colossal/comm/backends/local/lockstep.h"
#include "colossal/comm/backends/local/reach.h"

namespace colossal::comm::local {

class Mailman final : public Background {
 public:
  explicit Mailman(Session& session)
      : session_(session), sent_(session.size(), 0), received_(session.size(), 0) {}
  void set_reach(Reach reach) { reach_ = reach; }

  class Batch final : private Task {
   public:
    Batch(Mailman& mailman, std::vector<Transfer> transfers);
    ~Batch();
    Batch(const Batch&) = delete;
    void wait();

   private:
    friend class Mailman;
    struct Parcel {
      Transfer transfer;
      uint64_t ticket = 0;  // number of the message within its ordered pair, from 1
      int64_t bytes = 0;
      int64_t moved = 0;
      enum class Phase { waiting, moving, reading_elsewhere, done } phase = Phase::waiting;
    };
    bool progress();  // true when something moved
    bool done() const { return open_ == 0; }
    std::string title() const override;
    bool missing(int peer) const override;

    Mailman& mailman_;
    std::vector<Parcel> parcels_;
    size_t open_ = 0;
  };

  bool busy() const override { return !batches_.empty(); }
  void progress() override;

 private:
  bool advance_send(Batch::Parcel& parcel);
  bool advance_recv(Batch::Parcel& parcel);
  void check_match(const Mail& mail, const Batch::Parcel& parcel);

  Session& session_;
  Reach reach_{session_, Reach::Way::none};
  std::vector<uint64_t> sent_;  // messages announced by calls, per peer
  std::vector<uint64_t> received_;
  std::vector<Batch*> batches_;  // under way, oldest first
};

}  // namespace colossal::comm::local
