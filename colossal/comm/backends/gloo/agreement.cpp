// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/gloo/agreement.h"

#include <algorithm>
#include <initializer_list>
#include <type_traits>

#include "colossal/comm/checks.h"

namespace colossal::comm {
namespace {

constexpr std::array kOpNames = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast",
                                 "reduce",     "gather",     "scatter",        "transfer",   "barrier"};
constexpr std::array kReduceNames = {"sum", "avg", "max", "min"};

static_assert(std::is_trivially_copyable_v<Claim>);

// A bijection that spreads every bit (the finalizer of MurmurHash3).
uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdU;
  x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53U;
  return x ^ (x >> 33);
}
uint64_t hash(std::initializer_list<uint64_t> values) {
  uint64_t h = 0;
  for (const uint64_t value : values) h = mixed(h + value + 0x9e3779b97f4a7c15U);
  return h;
}
uint64_t pair_of(int32_t a, int32_t b) {
  return uint64_t{static_cast<uint32_t>(a)} << 32 | static_cast<uint32_t>(b);
}

// What is the same for all members: an all_to_all has other sizes for every two.
Header shared_part(Header header) {
  if (header.op == kAllToAll) header.bytes = 0;
  return header;
}

}  // namespace

std::string describe(const Header& header) {
  std::string text = kOpNames[static_cast<size_t>(header.op)];
  if (header.op != kTransfer) text += fmt::format(" number {}", header.sequence);
  if (header.op != kBarrier) {
    text +=
        fmt::format(" of {} bytes {}", header.bytes, dtype_name(static_cast<at::ScalarType>(header.dtype)));
  }
  if (header.reduce >= 0) text += fmt::format(" ({})", kReduceNames[static_cast<size_t>(header.reduce)]);
  if (header.root >= 0) text += fmt::format(" with root {}", header.root);
  return text;
}

void History::remember(const Header& header) {
  if (header.op == kTransfer) return;
  past_[header.sequence % kLength] = header;
  if (header.sequence == last_) return;
  last_ = header.sequence;
  before_ = digest_;
  const Header h = shared_part(header);
  digest_ = hash({digest_, h.sequence, h.bytes, pair_of(h.op, h.dtype), pair_of(h.reduce, h.root)});
}

const Header* History::find(uint64_t sequence) const {
  const Header& header = past_[sequence % kLength];
  return sequence > 0 && header.sequence == sequence ? &header : nullptr;
}

std::optional<std::pair<Header, Header>> History::first_difference(const History& theirs) const {
  const uint64_t last = std::min(last_, theirs.last_);
  for (uint64_t s = last < kLength ? 1 : last - kLength + 1; s <= last; ++s) {
    const Header *a = find(s), *b = theirs.find(s);
    if (a != nullptr && b != nullptr && shared_part(*a) != shared_part(*b)) return std::pair(*a, *b);
  }
  return std::nullopt;
}

int64_t payload_tag(const History& history, const Header& header, int64_t channel) {
  // A transfer may come after other collectives on one of its ends.
  const uint64_t before = header.op == kTransfer ? 0 : history.digest_before_last();
  const uint64_t spread = hash({before, header.sequence, pair_of(header.op, header.dtype),
                                pair_of(header.reduce, header.root), static_cast<uint64_t>(channel)});
  constexpr uint64_t kTags = (uint64_t{1} << 31) - 1;
  return static_cast<int64_t>(1 + (spread % kTags + header.bytes) % kTags);
}

std::optional<std::pair<Header, Header>> disagreement(const Claim& mine, int index, const Claim& theirs) {
  if (const auto difference = mine.history.first_difference(theirs.history)) return difference;
  const bool same_stream = theirs.peer == index && theirs.receives != mine.receives &&
                           (theirs.stream.op == kTransfer) == (mine.stream.op == kTransfer) &&
                           theirs.stream.sequence == mine.stream.sequence;
  const bool judges = mine.stream.op != kTransfer || mine.receives == 1;
  if (same_stream && judges && mine.stream != theirs.stream) return std::pair(mine.stream, theirs.stream);
  return std::nullopt;
}

}  // namespace colossal::comm
