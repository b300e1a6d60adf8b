// SPDX-License-Identifier: Apache-2.0
// all_reduce, reduce and reduce_scatter.
#include <array>
#include <cstring>

#include "colossal/comm/backends/local/collectives.h"
#include "colossal/comm/backends/local/pieces.h"
#include "colossal/comm/backends/reduce.h"

namespace colossal::comm::local {

struct Collectives::Reduction {
  at::ScalarType dtype;
  ReduceOp op;
  int64_t item_bytes;

  void apply(void* out, std::span<const void* const> sources, int64_t bytes) const {
    arithmetic::reduce_arrays(out, sources, bytes / item_bytes, dtype, op);
  }
};

namespace {

// A payload that every member copies whole: cheaper than a second round.
constexpr int64_t kSmallBytes = 32 << 10;
// Above, threads read each other's tensors. Processes stream through the staging rooms: to copy a chunk within the second
// cache takes less than to map the other's pages (1.5 to 2 times faster than process_vm_readv, measured).
// Granularity of reading other members' tensors: what is read stays in the second cache until it is added, and a system call costs little beside it.
constexpr int64_t kRemoteBlock = 256 << 10;
// Granularity of reducing and passing on: stays in the first cache.
constexpr int64_t kCopyBlock = 8 << 10;
// A reduction among processes that the root alone computes: less to move than slices computed by all, of which the root collects the results.
constexpr int64_t kRootBytes = 1 << 20;
// Between two, up to here the root reads what it adds where it lies: one copy less, and nothing to overlap it with.
constexpr int64_t kPairBytes = 512 << 10;
// Of what the root adds up while the others lay out the next.
constexpr int64_t kRootChunk = 64 << 10;
static_assert(kRootChunk <= static_cast<int64_t>(kStageBytes));

}  // namespace

void Collectives::all_reduce(Lane lane, const at::Tensor& x, ReduceOp op) {
  arithmetic::check_reducible(x.scalar_type(), op);
  auto* data = static_cast<std::byte*>(x.data_ptr());
  const Reduction how{x.scalar_type(), op, static_cast<int64_t>(x.itemsize())};
  const Lockstep::Call call{
      .op = Op::all_reduce, .dtype = how.dtype, .reduce_op = op, .count = x.numel(), .in = data};
  if (static_cast<int64_t>(x.nbytes()) <= kSmallBytes) {
    reduce_small(lane, call, how, data);
  } else if (reach_.threads()) {
    reduce_direct(lane, call, how, data);
  } else {
    reduce_staged(lane, call, how, data, -1);
  }
}

void Collectives::reduce(Lane lane, const at::Tensor& x, int root, ReduceOp op) {
  arithmetic::check_reducible(x.scalar_type(), op);
  auto* data = static_cast<std::byte*>(x.data_ptr());
  const Reduction how{x.scalar_type(), op, static_cast<int64_t>(x.itemsize())};
  const Lockstep::Call call{
      .op = Op::reduce, .dtype = how.dtype, .reduce_op = op, .root = root, .count = x.numel(), .in = data};
  const int64_t bytes = x.nbytes();
  const bool where_it_lies = reach_.threads() || (n_ == 2 && reach_.direct() && bytes <= kPairBytes);
  if (bytes > kSmallBytes && where_it_lies) {
    lockstep_.open(lane, call);
    if (me_ == root) {
      reduce_remote(how, data, data, 0, bytes);
    }
    lockstep_.exchange();
  } else if (bytes <= kRootBytes) {
    reduce_at_root(lane, call, how, data);
  } else {
    reduce_staged(lane, call, how, data, root);
  }
}

void Collectives::reduce_scatter(Lane lane, const at::Tensor& out, const at::Tensor& in, ReduceOp op) {
  arithmetic::check_reducible(in.scalar_type(), op);
  const Reduction how{in.scalar_type(), op, static_cast<int64_t>(in.itemsize())};
  auto* to = static_cast<std::byte*>(out.data_ptr());
  const auto* from = static_cast<const std::byte*>(in.const_data_ptr());
  const Lockstep::Call call{
      .op = Op::reduce_scatter, .dtype = how.dtype, .reduce_op = op, .count = out.numel(), .in = from};
  const int64_t piece = out.nbytes();
  if (reach_.threads() && piece > kSmallBytes) {
    lockstep_.open(lane, call);
    reduce_remote(how, to, from + me_ * piece, me_ * piece, piece);
    lockstep_.exchange();
    return;
  }
  const int64_t step = chunk_bytes(n_);
  std::vector<const void*> sources(n_);
  for (int64_t at = 0; at == 0 || at < piece; at += step) {
    const int64_t bytes = std::min(step, piece - at);
    for (int j = 0; j < n_; ++j) {
      if (j != me_ && bytes > 0) {
        std::memcpy(lockstep_.outbox() + j * step, from + j * piece + at, bytes);
      }
    }
    at == 0 ? lockstep_.open(lane, call) : lockstep_.exchange();
    for (int j = 0; j < n_; ++j) {
      sources[j] = j == me_ ? from + me_ * piece + at : lockstep_.inbox(j) + me_ * step;
    }
    how.apply(to + at, sources, bytes);
  }
}

// One round: everybody publishes everything and adds up for itself, in the same order.
void Collectives::reduce_small(Lane lane, const Lockstep::Call& call, const Reduction& how, void* x) {
  const int64_t bytes = call.count * how.item_bytes;
  if (bytes > 0) std::memcpy(lockstep_.outbox(), x, bytes);
  lockstep_.open(lane, call);
  std::array<const void*, 8> few{};
  std::vector<const void*> many(n_ > 8 ? n_ : 0);
  const void** sources = n_ > 8 ? many.data() : few.data();
  for (int j = 0; j < n_; ++j) {
    sources[j] = lockstep_.inbox(j);
  }
  how.apply(x, {sources, static_cast<size_t>(n_)}, bytes);
}

// Chunk by chunk the others lay out what they have and the root adds it up.
void Collectives::reduce_at_root(Lane lane, const Lockstep::Call& call, const Reduction& how, std::byte* x) {
  const int64_t bytes = call.count * how.item_bytes;
  std::vector<const void*> sources(n_);
  for (int64_t at = 0; at == 0 || at < bytes; at += kRootChunk) {
    const int64_t length = std::min(kRootChunk, bytes - at);
    if (me_ != call.root && length > 0) {
      std::memcpy(lockstep_.outbox(), x + at, length);
    }
    at == 0 ? lockstep_.open(lane, call) : lockstep_.exchange();
    if (me_ == call.root) {
      for (int j = 0; j < n_; ++j) {
        sources[j] = j == me_ ? x + at : lockstep_.inbox(j);
      }
      how.apply(x + at, sources, length);
    }
  }
}

// Chunk by chunk; of each chunk member j reduces slice j. A round carries the slices of chunk k for their owners and the
// results of chunk k - 1 for everybody: staging half = [result | slice for 0 | slice for 1 | ...].
void Collectives::reduce_staged(Lane lane, const Lockstep::Call& call, const Reduction& how, std::byte* x,
                                int root) {
  const int64_t bytes = call.count * how.item_bytes;
  const int64_t room = chunk_bytes(n_ + 1);
  const int64_t step = room * n_;
  const bool wanted = root < 0 || me_ == root;
  std::vector<const void*> sources(n_);
  for (int64_t at = 0; at < bytes + step; at += step) {
    const Slices now(at, std::min(step, bytes - at), n_);
    const Slices before(at - step, std::min(step, bytes - at + step), n_);
    for (int j = 0; j < n_; ++j) {
      if (j != me_ && now.bytes(j) > 0) {
        std::memcpy(lockstep_.outbox() + (1 + j) * room, x + now.offset(j), now.bytes(j));
      }
    }
    at == 0 ? lockstep_.open(lane, call) : lockstep_.exchange();
    for (int j = 0; at > 0 && wanted && j < n_; ++j) {
      if (j != me_ && before.bytes(j) > 0) {
        std::memcpy(x + before.offset(j), lockstep_.inbox(j), before.bytes(j));
      }
    }
    for (int64_t part = 0; part < now.bytes(me_); part += kCopyBlock) {
      const int64_t length = std::min(kCopyBlock, now.bytes(me_) - part);
      std::byte* own = x + now.offset(me_) + part;
      for (int j = 0; j < n_; ++j) {
        sources[j] = j == me_ ? own : lockstep_.inbox(j) + (1 + me_) * room + part;
      }
      std::byte* result = wanted ? own : lockstep_.outbox() + part;
      how.apply(result, sources, length);
      if (wanted) {
        std::memcpy(lockstep_.outbox() + part, own, length);
      }
    }
  }
}

// Slice i is reduced by member i straight from everybody's tensors, then fetched by everybody from member i's.
void Collectives::reduce_direct(Lane lane, const Lockstep::Call& call, const Reduction& how, std::byte* x) {
  const Slices slices(0, call.count * how.item_bytes, n_);
  lockstep_.open(lane, call);
  reduce_remote(how, x + slices.offset(me_), x + slices.offset(me_), slices.offset(me_), slices.bytes(me_));
  lockstep_.exchange();
  {
    Touching touching(session_);
    for (int step = 1; step < n_; ++step) {
      const int j = (me_ + step) % n_;
      reach_.fetch(j, lockstep_.said(j).in + slices.offset(j), x + slices.offset(j), slices.bytes(j));
    }
  }
  lockstep_.exchange();
}

// out = reduction of `own` and of the bytes at `offset` behind what the others gave as `in`.
void Collectives::reduce_remote(const Reduction& how, std::byte* out, const std::byte* own, int64_t offset,
                                int64_t bytes) {
  Touching touching(session_);
  std::byte* room = reach_.threads() ? nullptr : scratch(n_ * kRemoteBlock);
  std::vector<const void*> sources(n_);
  for (int64_t at = 0; at < bytes; at += kRemoteBlock) {
    const int64_t length = std::min(kRemoteBlock, bytes - at);
    for (int j = 0; j < n_; ++j) {
      sources[j] = j == me_ ? own + at
                            : reach_.borrow(j, lockstep_.said(j).in + offset + at, length,
                                            room == nullptr ? nullptr : room + j * kRemoteBlock);
    }
    how.apply(out + at, sources, length);
  }
}

}  // namespace colossal::comm::local
