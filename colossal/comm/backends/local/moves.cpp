// SPDX-License-Identifier: Apache-2.0
// Operations that move bytes without arithmetic: all_gather, gather, broadcast, scatter, all_to_all, barrier.
#include <cstring>

#include "colossal/base/error.h"
#include "colossal/comm/backends/local/collectives.h"
#include "colossal/comm/backends/local/pieces.h"

namespace colossal::comm::local {
namespace {

std::byte* bytes_of(const at::Tensor& x) {
  return x.defined() ? static_cast<std::byte*>(x.data_ptr()) : nullptr;
}

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  if (to != from && bytes > 0) {
    std::memcpy(to, from, static_cast<size_t>(bytes));
  }
}

// Above this, one copy straight from the other's tensor beats two through a staging room.
constexpr int64_t kDirectBytes = 8 << 10;
// It takes a second round, which is dear where members take turns on a core.
constexpr int64_t kCrowdedDirectBytes = 16 << 10;
// A long broadcast between processes is faster when root and receivers both copy.
constexpr int64_t kStagedBroadcastBytes = 2 << 20;

constexpr uint8_t kUneven = 1;

}  // namespace

bool Collectives::direct(int64_t bytes) const {
  return reach_.direct() && bytes > (session_.crowded() ? kCrowdedDirectBytes : kDirectBytes);
}

std::byte* Collectives::scratch(size_t bytes) {
  if (scratch_.size() < bytes) {
    scratch_.resize(bytes);
  }
  return scratch_.data();
}

void Collectives::barrier(Lane lane) { lockstep_.open(lane, {.op = Op::barrier}); }

void Collectives::all_gather(Lane lane, const at::Tensor& out, const at::Tensor& in) {
  gather_pieces(
      lane, {.op = Op::all_gather, .dtype = in.scalar_type(), .count = in.numel(), .in = in.const_data_ptr()},
      bytes_of(out), bytes_of(in), in.nbytes());
}

void Collectives::gather(Lane lane, const at::Tensor& out, const at::Tensor& in, int root) {
  gather_pieces(lane,
                {.op = Op::gather,
                 .dtype = in.scalar_type(),
                 .root = root,
                 .count = in.numel(),
                 .in = in.const_data_ptr()},
                me_ == root ? bytes_of(out) : nullptr, bytes_of(in), in.nbytes());
}

// `out` is null where nothing is wanted.
void Collectives::gather_pieces(Lane lane, const Lockstep::Call& call, std::byte* out, const std::byte* in,
                                int64_t piece) {
  if (direct(piece)) {
    lockstep_.open(lane, call);
    if (out != nullptr) {
      Touching touching(session_);
      for (int step = 1; step < n_; ++step) {
        const int j = (me_ + step) % n_;
        reach_.fetch(j, lockstep_.said(j).in, out + j * piece, piece);
      }
    }
    lockstep_.publish();
    if (out != nullptr) {
      copy_bytes(out + me_ * piece, in, piece);  // while the others still read
    }
    lockstep_.collect();
    return;
  }
  const int64_t chunk = chunk_bytes(1);
  for (int64_t at = 0; at == 0 || at < piece; at += chunk) {
    const int64_t bytes = std::min(chunk, piece - at);
    if (call.root != me_) {
      copy_bytes(lockstep_.outbox(), in + at, bytes);
    }
    at == 0 ? lockstep_.open(lane, call) : lockstep_.exchange();
    for (int j = 0; out != nullptr && j < n_; ++j) {
      copy_bytes(out + j * piece + at, j == me_ ? in + at : lockstep_.inbox(j), bytes);
    }
  }
}

void Collectives::broadcast(Lane lane, const at::Tensor& x, int root) {
  std::byte* data = bytes_of(x);
  const int64_t total = x.nbytes();
  const Lockstep::Call call{
      .op = Op::broadcast, .dtype = x.scalar_type(), .root = root, .count = x.numel(), .in = data};
  const int64_t staged_from = session_.crowded() ? 0 : kStagedBroadcastBytes;
  if (direct(total) && (reach_.threads() || total < staged_from)) {
    lockstep_.open(lane, call);
    if (me_ != root) {
      Touching touching(session_);
      reach_.fetch(root, lockstep_.said(root).in, data, total);
    }
    lockstep_.exchange();
    return;
  }
  const int64_t chunk = chunk_bytes(2);
  for (int64_t at = 0; at == 0 || at < total; at += chunk) {
    const int64_t bytes = std::min(chunk, total - at);
    if (me_ == root) {
      copy_bytes(lockstep_.outbox(), data + at, bytes);
    }
    at == 0 ? lockstep_.open(lane, call) : lockstep_.exchange();
    if (me_ != root) {
      copy_bytes(data + at, lockstep_.inbox(root), bytes);
    }
  }
}

void Collectives::scatter(Lane lane, const at::Tensor& out, const at::Tensor& in, int root) {
  std::byte* to = bytes_of(out);
  const std::byte* from = me_ == root ? bytes_of(in) : nullptr;
  const int64_t piece = out.nbytes();
  const Lockstep::Call call{
      .op = Op::scatter, .dtype = out.scalar_type(), .root = root, .count = out.numel(), .in = from};
  if (direct(piece)) {
    lockstep_.open(lane, call);
    if (me_ == root) {
      copy_bytes(to, from + me_ * piece, piece);
    } else {
      Touching touching(session_);
      reach_.fetch(root, lockstep_.said(root).in + me_ * piece, to, piece);
    }
    lockstep_.exchange();
    return;
  }
  const int64_t chunk = chunk_bytes(n_);
  for (int64_t at = 0; at == 0 || at < piece; at += chunk) {
    const int64_t bytes = std::min(chunk, piece - at);
    for (int j = 0; me_ == root && j < n_; ++j) {
      copy_bytes(j == me_ ? to + at : lockstep_.outbox() + j * chunk, from + j * piece + at, bytes);
    }
    at == 0 ? lockstep_.open(lane, call) : lockstep_.exchange();
    if (me_ != root) {
      copy_bytes(to + at, lockstep_.inbox(root) + me_ * chunk, bytes);
    }
  }
}

void Collectives::all_to_all(Lane lane, const at::Tensor& out, const at::Tensor& in,
                             const std::vector<int64_t>& out_rows, const std::vector<int64_t>& in_rows) {
  Lockstep::Call call{
      .op = Op::all_to_all, .dtype = in.scalar_type(), .count = in.numel(), .in = bytes_of(in)};
  if (in_rows.empty() && out_rows.empty()) {
    const std::vector<int64_t> even(n_, static_cast<int64_t>(in.nbytes()) / n_);
    exchange_pieces(lane, call, bytes_of(out), bytes_of(in), even, even);
    return;
  }
  // Sizes differ between members; what must agree is the size of a row.
  call.flags = kUneven;
  call.count = 1;
  for (int64_t dim = 1; dim < in.dim(); ++dim) {
    call.count *= in.size(dim);
  }
  const int64_t row_bytes = call.count * static_cast<int64_t>(in.itemsize());
  std::vector<int64_t> out_bytes(out_rows), in_bytes(in_rows);
  for (int j = 0; j < n_; ++j) {
    out_bytes[j] *= row_bytes;
    in_bytes[j] *= row_bytes;
  }
  exchange_pieces(lane, call, bytes_of(out), bytes_of(in), out_bytes, in_bytes);
}

void Collectives::exchange_pieces(Lane lane, const Lockstep::Call& call, std::byte* out, const std::byte* in,
                                  const std::vector<int64_t>& out_bytes,
                                  const std::vector<int64_t>& in_bytes) {
  // sends[i * n + j]: bytes from i to j.
  std::vector<int64_t> sends(static_cast<size_t>(n_) * n_, in_bytes[0]);
  const bool uneven = (call.flags & kUneven) != 0;
  if (uneven) {
    auto* mine = reinterpret_cast<int64_t*>(lockstep_.outbox());
    std::copy(in_bytes.begin(), in_bytes.end(), mine);
    std::copy(out_bytes.begin(), out_bytes.end(), mine + n_);
    lockstep_.open(lane, call);
    compare_splits(call.count * static_cast<int64_t>(c10::elementSize(call.dtype)), sends);
  }
  std::vector<int64_t> in_at(n_, 0), out_at(n_, 0), there(n_, 0);
  for (int j = 1; j < n_; ++j) {
    in_at[j] = in_at[j - 1] + in_bytes[j - 1];
    out_at[j] = out_at[j - 1] + out_bytes[j - 1];
  }
  for (int j = 0; j < n_; ++j) {
    for (int k = 0; k < me_; ++k) {
      there[j] += sends[j * n_ + k];
    }
  }
  const int64_t longest = *std::max_element(sends.begin(), sends.end());
  if (direct(longest)) {
    if (!uneven) {
      lockstep_.open(lane, call);
    }
    {
      Touching touching(session_);
      for (int step = 1; step < n_; ++step) {
        const int j = (me_ + step) % n_;
        reach_.fetch(j, lockstep_.said(j).in + there[j], out + out_at[j], out_bytes[j]);
      }
    }
    lockstep_.publish();
    copy_bytes(out + out_at[me_], in + in_at[me_], in_bytes[me_]);  // while the others still read
    lockstep_.collect();
    return;
  }
  const int64_t chunk = chunk_bytes(n_);
  for (int64_t at = 0; at < std::max<int64_t>(longest, uneven ? 0 : 1); at += chunk) {
    for (int j = 0; j < n_; ++j) {
      copy_bytes(j == me_ ? out + out_at[me_] + at : lockstep_.outbox() + j * chunk, in + in_at[j] + at,
                 std::min(chunk, in_bytes[j] - at));
    }
    at == 0 && !uneven ? lockstep_.open(lane, call) : lockstep_.exchange();
    for (int j = 0; j < n_; ++j) {
      if (j != me_) {
        copy_bytes(out + out_at[j] + at, lockstep_.inbox(j) + me_ * chunk,
                   std::min(chunk, out_bytes[j] - at));
      }
    }
  }
}

// Every member has put [bytes to each, bytes from each] into its staging half: checks that both sides agree.
void Collectives::compare_splits(int64_t row_bytes, std::vector<int64_t>& sends) {
  for (int i = 0; i < n_; ++i) {
    const auto* splits = reinterpret_cast<const int64_t*>(lockstep_.inbox(i));
    std::copy(splits, splits + n_, sends.begin() + static_cast<int64_t>(i) * n_);
  }
  for (int i = 0; i < n_; ++i) {
    for (int j = 0; j < n_; ++j) {
      const int64_t expected = reinterpret_cast<const int64_t*>(lockstep_.inbox(j))[n_ + i];
      if (sends[i * n_ + j] != expected) {
        const int64_t row = std::max<int64_t>(row_bytes, 1);
        session_.fail(fmt::format("{}: {} sends {} rows to {}, which expects {}. Both sides must agree.",
                                  lockstep_.title(), session_.who(i), sends[i * n_ + j] / row,
                                  session_.who(j), expected / row));
      }
    }
  }
}

}  // namespace colossal::comm::local
