// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/gloo/reductions.h"

#include <algorithm>
#include <functional>

#include "colossal/comm/backends/reduce.h"

namespace colossal::comm {

namespace {

// Tensors up to here go whole from everybody to everybody: one latency instead of two. They leave with their headers, so the
// result may be written over them.
constexpr int64_t kWholeBytes = 32 << 10;
static_assert(kWholeBytes <= Wire::kInline);
// Steps that have room for what arrives while one is added.
constexpr int64_t kStepsAhead = 2;
// Of all that room. Long messages cost fewer wake-ups: while cores are shared, those cost more than a cache that is missed.
constexpr int64_t kRoomBytes = 16 << 20;
constexpr int64_t kLeastPieceBytes = 64 << 10, kMostPieceBytes = 1 << 20;
constexpr int64_t kFewestSteps = 4;
constexpr int64_t kLineBytes = 64;
// Steps whose pieces wait to leave, and whose sums are waited for: neither needs room, and no member waits for another's thread.
constexpr int64_t kStepsPosted = 16;

int64_t round_up(int64_t x, int64_t unit) { return (x + unit - 1) / unit * unit; }
int64_t num_steps(int64_t bytes, int64_t step_bytes) {
  return std::max<int64_t>(1, (bytes + step_bytes - 1) / step_bytes);
}

// Of a member's message in one step.
int64_t piece_bytes(int num_members) {
  return std::clamp(kRoomBytes / kStepsAhead / num_members / kLineBytes * kLineBytes, kLeastPieceBytes,
                    kMostPieceBytes);
}

}  // namespace

// What is added where. All in bytes; pieces are whole elements.
struct Reductions::Plan {
  struct Piece {
    int64_t begin, bytes;
  };
  Header header;
  at::ScalarType dtype;
  ReduceOp op;
  std::byte* in;
  int64_t num_steps;
  int64_t largest;  // of the pieces
  // The part of `in` that `owner` adds in this step, and where the sum of this member's piece belongs.
  std::function<Piece(int64_t step, int owner)> piece = {};
  std::function<std::byte*(int64_t step, Piece mine)> result = {};
  bool share = false;  // sums go to all members, into the same place of `in`

  // `begin` onwards, at most `most` and never beyond `end`.
  static Piece cut(int64_t begin, int64_t most, int64_t end) {
    return {std::min(begin, end), std::clamp<int64_t>(end - begin, 0, most)};
  }
};

// The steps of a plan. Pieces and sums of many steps wait in Gloo, so that its own thread keeps them moving while this one adds.
class Reductions::Pipeline {
 public:
  Pipeline(Wire& wire, const Plan& plan, std::vector<std::byte>& room)
      : wire_(wire), plan_(plan), peers_(wire.others()), room_bytes_(round_up(plan.largest, kLineBytes)) {
    const size_t needed = kStepsAhead * wire.size() * room_bytes_;
    if (room.size() < needed) room.resize(needed);
    room_ = room.data();
  }

  void run() {
    for (int64_t step = 0; step < kStepsAhead; ++step) expect(step);
    for (int64_t step = 0; step < kStepsPosted; ++step) post(step);
    for (int64_t step = 0; step < plan_.num_steps; ++step) {
      add(step);
      expect(step + kStepsAhead);
      if (plan_.share) share(step);
      wire_.wait_all(under_way(step - kStepsPosted));
      post(step + kStepsPosted);
    }
    for (Wire::Tickets& tickets : posted_) wire_.wait_all(tickets);
  }

 private:
  std::byte* room(int64_t step, int peer) const {
    return room_ + (step % kStepsAhead * wire_.size() + peer) * room_bytes_;
  }

  // What leaves in a step, and the sums that come back.
  Wire::Tickets& under_way(int64_t step) { return posted_[(step + kPosted) % kPosted]; }

  // Room for this member's piece.
  void expect(int64_t step) {
    if (step >= plan_.num_steps) return;
    const Plan::Piece mine = plan_.piece(step, wire_.index());
    for (int peer : peers_) {
      if (mine.bytes > 0)
        arriving_[step % kStepsAhead].push_back(
            wire_.post_recv(plan_.header, peer, room(step, peer), mine.bytes, kPieces));
    }
  }

  // The others' pieces leave; their sums will overwrite them.
  void post(int64_t step) {
    if (step >= plan_.num_steps) return;
    Wire::Tickets& tickets = under_way(step);
    for (int peer : peers_) {
      const Plan::Piece theirs = plan_.piece(step, peer);
      if (theirs.bytes == 0) continue;
      std::byte* data = plan_.in + theirs.begin;
      tickets.push_back(wire_.post_send(plan_.header, peer, data, theirs.bytes, kPieces));
      if (plan_.share) tickets.push_back(wire_.post_recv(plan_.header, peer, data, theirs.bytes, kSums));
    }
  }

  void add(int64_t step) {
    wire_.wait_all(arriving_[step % kStepsAhead]);
    const Plan::Piece mine = plan_.piece(step, wire_.index());
    if (mine.bytes == 0) return;
    std::vector<const void*> sources(wire_.size());
    for (int i = 0; i < wire_.size(); ++i)
      sources[i] = i == wire_.index() ? plan_.in + mine.begin : room(step, i);
    arithmetic::reduce_arrays(plan_.result(step, mine), sources,
                              mine.bytes / static_cast<int64_t>(c10::elementSize(plan_.dtype)), plan_.dtype,
                              plan_.op);
  }

  void share(int64_t step) {
    const Plan::Piece mine = plan_.piece(step, wire_.index());
    for (int peer : peers_) {
      if (mine.bytes > 0)
        under_way(step).push_back(
            wire_.post_send(plan_.header, peer, plan_.in + mine.begin, mine.bytes, kSums));
    }
  }

  static constexpr Wire::Channel kPieces = Wire::Channel::first, kSums = Wire::Channel::second;
  static constexpr int64_t kPosted = 2 * kStepsPosted;  // ahead and behind

  Wire& wire_;
  const Plan& plan_;
  std::vector<int> peers_;
  int64_t room_bytes_;
  std::byte* room_;
  Wire::Tickets arriving_[kStepsAhead];
  Wire::Tickets posted_[kPosted];
};

void Reductions::all_reduce(Header header, const at::Tensor& x, ReduceOp op) {
  const int64_t n = wire_.size(), bytes = x.nbytes();
  header.reduce = static_cast<int32_t>(op);
  header.bytes = bytes;
  auto* data = static_cast<std::byte*>(x.data_ptr());
  Plan plan{
      .header = header, .dtype = x.scalar_type(), .op = op, .in = data, .num_steps = 1, .largest = bytes};
  if (bytes <= kWholeBytes) {
    plan.piece = [bytes](int64_t, int) { return Plan::Piece{0, bytes}; };
  } else {
    // Several steps also where it is short: one is added while the next arrives.
    const int64_t several = std::max(kLeastPieceBytes, (bytes + n * kFewestSteps - 1) / (n * kFewestSteps));
    const int64_t piece = std::min({piece_bytes(wire_.size()), round_up(several, kLineBytes),
                                    round_up((bytes + n - 1) / n, kLineBytes)});
    plan.num_steps = num_steps(bytes, n * piece);
    plan.largest = piece;
    plan.share = true;
    plan.piece = [=](int64_t step, int owner) { return Plan::cut((step * n + owner) * piece, piece, bytes); };
  }
  plan.result = [data](int64_t, Plan::Piece mine) { return data + mine.begin; };
  run(plan);
}

void Reductions::reduce_scatter(Header header, const at::Tensor& out, const at::Tensor& in, ReduceOp op) {
  const int64_t bytes = out.nbytes(), piece = std::min(piece_bytes(wire_.size()), bytes);
  header.reduce = static_cast<int32_t>(op);
  header.bytes = bytes;
  auto* to = static_cast<std::byte*>(out.data_ptr());
  Plan plan{.header = header,
            .dtype = in.scalar_type(),
            .op = op,
            .in = static_cast<std::byte*>(in.data_ptr()),
            .num_steps = num_steps(bytes, std::max<int64_t>(piece, 1)),
            .largest = piece};
  plan.piece = [=](int64_t step, int owner) {
    return Plan::cut(owner * bytes + step * piece, piece, (owner + 1) * bytes);
  };
  plan.result = [=](int64_t step, Plan::Piece) { return to + step * piece; };
  run(plan);
}

void Reductions::reduce(Header header, const at::Tensor& x, int root, ReduceOp op) {
  const int64_t bytes = x.nbytes(), piece = std::min(piece_bytes(wire_.size()), bytes);
  header.root = root;
  header.reduce = static_cast<int32_t>(op);
  header.bytes = bytes;
  auto* data = static_cast<std::byte*>(x.data_ptr());
  Plan plan{.header = header,
            .dtype = x.scalar_type(),
            .op = op,
            .in = data,
            .num_steps = num_steps(bytes, std::max<int64_t>(piece, 1)),
            .largest = piece};
  plan.piece = [=](int64_t step, int owner) {
    return owner == root ? Plan::cut(step * piece, piece, bytes) : Plan::Piece{0, 0};
  };
  plan.result = [data](int64_t, Plan::Piece mine) { return data + mine.begin; };
  run(plan);
}

void Reductions::run(const Plan& plan) {
  if (plan.num_steps == 1 && !plan.share) return run_at_once(plan);
  Pipeline(wire_, plan, room_).run();
}

// One step without results to share: pieces travel with the headers.
void Reductions::run_at_once(const Plan& plan) {
  const int64_t each = round_up(plan.largest, kLineBytes);
  if (static_cast<int64_t>(room_.size()) < each * wire_.size()) room_.resize(each * wire_.size());
  const Plan::Piece mine = plan.piece(0, wire_.index());
  std::vector<const void*> sources(wire_.size());
  std::vector<Wire::Stream> out, in;
  for (int peer : wire_.others()) {
    const Plan::Piece theirs = plan.piece(0, peer);
    sources[peer] = room_.data() + peer * each;
    out.push_back({peer, plan.header, plan.in + theirs.begin, theirs.bytes});
    in.push_back({peer, plan.header, room_.data() + peer * each, mine.bytes});
  }
  sources[wire_.index()] = plan.in + mine.begin;
  wire_.exchange(out, in);
  if (mine.bytes == 0) return;
  arithmetic::reduce_arrays(plan.result(0, mine), sources,
                            mine.bytes / static_cast<int64_t>(c10::elementSize(plan.dtype)), plan.dtype,
                            plan.op);
}

}  // namespace colossal::comm
