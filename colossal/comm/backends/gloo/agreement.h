// SPDX-License-Identifier: Apache-2.0
// What the members of a group must agree on, and how they find out that they do not.
//
//   history.remember(header);                       // of every collective, by all members
//   int64_t tag = payload_tag(history, header, 0);   // equal on both ends, or their messages never meet
//   ...                                              // what waits for long is looked at: claims are exchanged
//   if (auto theirs = disagreement(mine, claim)) ...
//
// Thread safety: as a plain value.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

namespace colossal::comm {

enum OpCode : int32_t {
  kAllReduce,
  kAllGather,
  kReduceScatter,
  kAllToAll,
  kBroadcast,
  kReduce,
  kGather,
  kScatter,
  kTransfer,
  kBarrier
};

// What both ends of a stream must agree on. Compared byte by byte.
struct Header {
  uint64_t sequence = 0;  // of the collectives of this group; of the transfers from one member to another
  uint64_t bytes = 0;     // of this stream
  int32_t op = 0;         // OpCode
  int32_t dtype = 0;
  int32_t reduce = -1;  // ReduceOp
  int32_t root = -1;
  bool operator==(const Header&) const = default;
};
std::string describe(const Header& header);

// The collectives of a group as one member has taken part in them.
class History {
 public:
  // Once or more often for each, in order. Transfers are not remembered.
  void remember(const Header& header);
  // Of all collectives before the last: equal on two members as long as these have agreed in everything but the bytes of an all_to_all.
  uint64_t digest_before_last() const { return before_; }
  // nullptr where it is too long ago, or has not been yet.
  const Header* find(uint64_t sequence) const;
  // The first collective that both know and take for different ones: as it stands here, and there.
  std::optional<std::pair<Header, Header>> first_difference(const History& theirs) const;

 private:
  static constexpr size_t kLength = 64;
  std::array<Header, kLength> past_ = {};  // by sequence modulo kLength
  uint64_t last_ = 0;
  uint64_t before_ = 0, digest_ = 0;  // of all but the last, of all
};

// Tag of the messages of a stream on one of several channels, in [1, 2^31): equal on two ends that mean the same. Ends that differ in
// nothing but the size have different ones (below 8 GiB); others too, but for one case in 2^31.
int64_t payload_tag(const History& history, const Header& header, int64_t channel);

// What a member that waits tells about itself. Trivially copyable: travels as it lies in memory.
struct Claim {
  Header stream;         // that it waits for
  int32_t peer = 0;      // index of the other end
  int32_t receives = 0;  // 1 where it waits for what arrives, 0 where for what leaves
  History history = {};
};
// The two headers that differ, as they stand at `index` (this member) and at mine.peer. Of the ends of a transfer the receiver judges.
std::optional<std::pair<Header, Header>> disagreement(const Claim& mine, int index, const Claim& theirs);

}  // namespace colossal::comm
