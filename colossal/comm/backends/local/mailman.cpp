// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/mailman.h"

#include <algorithm>
#include <cstring>

#include "colossal/base/error.h"

namespace colossal::comm::local {
namespace {

// Larger messages are read at the sender's when that is possible: one copy, where the ring takes two.
constexpr int64_t kRingMessage = 8 << 10;

// Copies between a contiguous buffer and the ring, around its end.
void to_ring(std::byte* ring, uint64_t at, const std::byte* from, int64_t bytes) {
  const int64_t begin = static_cast<int64_t>(at % kMailBytes);
  const int64_t first = std::min(bytes, static_cast<int64_t>(kMailBytes) - begin);
  std::memcpy(ring + begin, from, first);
  std::memcpy(ring, from + first, bytes - first);
}

void from_ring(std::byte* to, const std::byte* ring, uint64_t at, int64_t bytes) {
  const int64_t begin = static_cast<int64_t>(at % kMailBytes);
  const int64_t first = std::min(bytes, static_cast<int64_t>(kMailBytes) - begin);
  std::memcpy(to, ring + begin, first);
  std::memcpy(to + first, ring, bytes - first);
}

// At most this much per step, so that both sides copy at the same time.
constexpr int64_t kPortion = kMailBytes / 4;

}  // namespace

Mailman::Batch::Batch(Mailman& mailman, std::vector<Transfer> transfers) : mailman_(mailman) {
  for (Transfer& transfer : transfers) {
    auto& count = transfer.kind == Transfer::Kind::send ? mailman.sent_ : mailman.received_;
    const uint64_t ticket = ++count.at(transfer.peer);
    const int64_t bytes = transfer.tensor.nbytes();
    parcels_.push_back({std::move(transfer), ticket, bytes});
  }
  open_ = parcels_.size();
  mailman_.batches_.push_back(this);
  mailman_.progress();
}

Mailman::Batch::~Batch() { std::erase(mailman_.batches_, this); }

void Mailman::Batch::wait() {
  if (!done()) {
    if (!mailman_.session_.alive()) {
      mailman_.session_.throw_own_failure(title());
    }
    const auto ready = [&] {
      mailman_.progress();
      return done();
    };
    mailman_.session_.wait(Lane::caller, kAnyMember, ready, *this);
  }
  std::erase(mailman_.batches_, this);
}

bool Mailman::Batch::progress() {
  bool moved = false;
  for (Parcel& parcel : parcels_) {
    if (parcel.phase == Parcel::Phase::done) {
      continue;
    }
    const bool send = parcel.transfer.kind == Transfer::Kind::send;
    moved |= send ? mailman_.advance_send(parcel) : mailman_.advance_recv(parcel);
    open_ -= parcel.phase == Parcel::Phase::done;
  }
  return moved;
}

std::string Mailman::Batch::title() const {
  for (const Parcel& parcel : parcels_) {
    if (parcel.phase != Parcel::Phase::done) {
      const bool send = parcel.transfer.kind == Transfer::Kind::send;
      return fmt::format("{} #{} {} {} on \"{}\"", send ? "send" : "recv", parcel.ticket,
                         send ? "to" : "from", mailman_.session_.who(parcel.transfer.peer),
                         mailman_.session_.group());
    }
  }
  return fmt::format("transfer on \"{}\"", mailman_.session_.group());
}

bool Mailman::Batch::missing(int peer) const {
  return std::any_of(parcels_.begin(), parcels_.end(), [&](const Parcel& parcel) {
    return parcel.phase != Parcel::Phase::done && parcel.transfer.peer == peer;
  });
}

void Mailman::progress() {
  for (bool again = true; again;) {
    again = false;
    for (Batch* batch : batches_) {
      again |= !batch->done() && batch->progress();
    }
    if (again) {
      session_.ring();
    }
  }
}

bool Mailman::advance_send(Batch::Parcel& parcel) {
  using Phase = Batch::Parcel::Phase;
  const int peer = parcel.transfer.peer;
  Mail& mail = session_.segment().mail(session_.index(), peer);
  const auto* data = static_cast<const std::byte*>(parcel.transfer.tensor.const_data_ptr());
  switch (parcel.phase) {
    case Phase::waiting: {
      // The mailbox holds one message: the one before must have been read.
      if (mail.receiver.finished.load(std::memory_order_acquire) != parcel.ticket - 1) {
        return false;
      }
      const bool elsewhere = reach_.direct() && parcel.bytes > kRingMessage && peer != session_.index();
      mail.sender.bytes = parcel.bytes;
      mail.sender.dtype = static_cast<int8_t>(parcel.transfer.tensor.scalar_type());
      mail.sender.address = elsewhere ? reinterpret_cast<uint64_t>(data) : 0;
      mail.sender.posted.store(parcel.ticket, std::memory_order_release);
      parcel.phase = elsewhere ? Phase::reading_elsewhere : parcel.bytes == 0 ? Phase::done : Phase::moving;
      return true;
    }
    case Phase::moving: {
      const uint64_t produced = mail.sender.produced.load(std::memory_order_relaxed);
      const uint64_t consumed = mail.receiver.consumed.load(std::memory_order_acquire);
      const int64_t room = static_cast<int64_t>(kMailBytes - (produced - consumed));
      const int64_t bytes = std::min({room, parcel.bytes - parcel.moved, kPortion});
      if (bytes == 0) {
        return false;
      }
      to_ring(session_.segment().ring(session_.index(), peer), produced, data + parcel.moved, bytes);
      mail.sender.produced.store(produced + bytes, std::memory_order_release);
      parcel.moved += bytes;
      parcel.phase = parcel.moved == parcel.bytes ? Phase::done : Phase::moving;
      return true;
    }
    case Phase::reading_elsewhere:
      if (mail.receiver.finished.load(std::memory_order_acquire) < parcel.ticket) {
        return false;
      }
      parcel.phase = Phase::done;
      return true;
    case Phase::done: return false;
  }
  return false;
}

void Mailman::check_match(const Mail& mail, const Batch::Parcel& parcel) {
  const at::Tensor& x = parcel.transfer.tensor;
  const auto dtype = static_cast<at::ScalarType>(mail.sender.dtype);
  if (mail.sender.bytes == parcel.bytes && dtype == x.scalar_type()) {
    return;
  }
  const int peer = parcel.transfer.peer;
  session_.fail(fmt::format(
      "recv #{} on \"{}\": {} sends {} x {}, {} expects {} x {}. Both sides must agree.", parcel.ticket,
      session_.group(), session_.who(peer), mail.sender.bytes / static_cast<int64_t>(c10::elementSize(dtype)),
      c10::toString(dtype), session_.who(session_.index()), x.numel(), c10::toString(x.scalar_type())));
}

bool Mailman::advance_recv(Batch::Parcel& parcel) {
  using Phase = Batch::Parcel::Phase;
  const int peer = parcel.transfer.peer;
  Mail& mail = session_.segment().mail(peer, session_.index());
  auto* data = static_cast<std::byte*>(parcel.transfer.tensor.data_ptr());
  const auto finish = [&] {
    mail.receiver.finished.store(parcel.ticket, std::memory_order_release);
    parcel.phase = Phase::done;
    return true;
  };
  if (parcel.phase == Phase::waiting) {
    if (mail.receiver.finished.load(std::memory_order_relaxed) != parcel.ticket - 1 ||
        mail.sender.posted.load(std::memory_order_acquire) < parcel.ticket) {
      return false;
    }
    check_match(mail, parcel);
    if (mail.sender.address != 0) {
      Touching touching(session_);
      reach_.fetch(peer, mail.sender.address, data, parcel.bytes);
      return finish();
    }
    if (parcel.bytes == 0) {
      return finish();
    }
    parcel.phase = Phase::moving;
  }
  const uint64_t consumed = mail.receiver.consumed.load(std::memory_order_relaxed);
  const uint64_t produced = mail.sender.produced.load(std::memory_order_acquire);
  const int64_t bytes =
      std::min({static_cast<int64_t>(produced - consumed), parcel.bytes - parcel.moved, kPortion});
  if (bytes == 0) {
    return false;
  }
  from_ring(data + parcel.moved, session_.segment().ring(peer, session_.index()), consumed, bytes);
  mail.receiver.consumed.store(consumed + bytes, std::memory_order_release);
  parcel.moved += bytes;
  return parcel.moved == parcel.bytes ? finish() : true;
}

}  // namespace colossal::comm::local
