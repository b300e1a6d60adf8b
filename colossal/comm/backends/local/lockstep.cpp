// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/lockstep.h"

#include <array>

#include "colossal/base/error.h"

namespace colossal::comm::local {
namespace {

bool same_request(const OpHeader& a, const OpHeader& b) {
  return a.op == b.op && a.dtype == b.dtype && a.reduce_op == b.reduce_op && a.root == b.root &&
         a.count == b.count && a.sequence == b.sequence && a.flags == b.flags;
}

std::string_view reduce_name(uint8_t op) {
  constexpr std::array<std::string_view, 4> kNames{"sum", "avg", "max", "min"};
  return kNames.at(op);
}

// "all_reduce(sum) of 16 x Float"
std::string request(const OpHeader& header) {
  const Op op = static_cast<Op>(header.op);
  std::string text(op_name(op));
  if (op == Op::barrier || op == Op::join) {
    return text;
  }
  if (op == Op::all_reduce || op == Op::reduce_scatter || op == Op::reduce) {
    text += fmt::format("({})", reduce_name(header.reduce_op));
  }
  text += fmt::format(" of {} x {}", header.count, c10::toString(static_cast<at::ScalarType>(header.dtype)));
  if (header.flags != 0) {
    text += " per row, uneven";
  }
  if (header.root >= 0) {
    text += fmt::format(" with root {}", header.root);
  }
  return text;
}

}  // namespace

std::string_view op_name(Op op) {
  constexpr std::array<std::string_view, 10> kNames{
      "join",      "all_reduce", "all_gather", "reduce_scatter", "all_to_all",
      "broadcast", "reduce",     "gather",     "scatter",        "barrier"};
  return kNames.at(static_cast<size_t>(op));
}

std::string Lockstep::title() const {
  return fmt::format("{} #{} on \"{}\"", op_name(static_cast<Op>(mine_.op)), sequence_, session_.group());
}

bool Lockstep::missing(int peer) const {
  return session_.segment().member(peer).posts[round_ & 1].round.load(std::memory_order_acquire) < round_;
}

void Lockstep::idle() {
  if (lane_ == Lane::caller) {
    background_.progress();
  }
}

void Lockstep::open(Lane lane, const Call& call) {
  lane_ = lane;
  ++sequence_;
  mine_.op = static_cast<uint8_t>(call.op);
  mine_.dtype = static_cast<int8_t>(call.dtype);
  mine_.reduce_op = static_cast<uint8_t>(call.reduce_op);
  mine_.flags = call.flags;
  mine_.root = call.root;
  mine_.sequence = sequence_;
  mine_.count = call.count;
  mine_.in = reinterpret_cast<uint64_t>(call.in);
  mine_.out = reinterpret_cast<uint64_t>(call.out);
  if (!session_.alive()) {
    session_.throw_own_failure(title());
  }
  exchange();
  verify();
}

void Lockstep::publish() {
  ++round_;
  Post& post = session_.self().posts[round_ & 1];
  post.header = mine_;
  post.round.store(round_, std::memory_order_release);
  session_.ring();
}

void Lockstep::collect() {
  for (int i = 0; i < session_.size(); ++i) {
    if (i == session_.index()) {
      continue;
    }
    const std::atomic<uint64_t>& word = session_.segment().member(i).posts[round_ & 1].round;
    const int32_t peer = lane_ == Lane::caller && background_.busy() ? kAnyMember : i;
    session_.wait(
        lane_, peer, [&] { return word.load(std::memory_order_acquire) >= round_; }, *this);
  }
}

void Lockstep::verify() {
  said_.resize(session_.size());
  bool same = true;
  for (int i = 0; i < session_.size(); ++i) {
    said_[i] = session_.segment().member(i).posts[round_ & 1].header;
    same = same && same_request(said_[i], mine_);
  }
  if (same) {
    return;
  }
  std::string text =
      fmt::format("#{} on \"{}\": the members ask for different things:", sequence_, session_.group());
  for (int i = 0; i < session_.size(); ++i) {
    text += fmt::format("{} {} {}", i == 0 ? "" : ",", session_.who(i), request(said_[i]));
  }
  session_.fail(text + ". All must call the same operation with the same dtype and sizes.");
}

}  // namespace colossal::comm::local
