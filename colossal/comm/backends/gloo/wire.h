// SPDX-License-Identifier: Apache-2.0
// Point-to-point messages of one group over Gloo, with a header in front of the first message of every stream.
//
// Gloo ends the process when a message is larger than the buffer it arrives in. So nothing but headers (of one fixed capacity) is
// ever sent unasked: the receiver of a payload hands its buffer to Gloo and asks with a header of its own, and the sender lets the
// payload go only when that header agrees with its own on op, sequence, dtype and size. As the receiver is usually there first, the
// request is, too, and the payload leaves at once. Short payloads travel inside the header message: one latency in all.
//
//   wire.exchange({{peer, header, in, bytes}}, {{peer, header, out, bytes}});
//
// Thread safety: one thread at a time; abort() from any.
#pragma once
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "colossal/comm/backends/backends.h"

namespace colossal::comm {

// What both ends of a stream must agree on. Compared byte by byte.
struct Header {
  uint64_t sequence = 0;  // of the collectives of this group; 0 for send and recv
  uint64_t bytes = 0;     // of this stream
  int32_t op = 0;         // index in kOpNames
  int32_t dtype = 0;
  int32_t reduce = -1;  // ReduceOp
  int32_t root = -1;
  bool operator==(const Header&) const = default;
};
std::string describe(const Header& header);

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

class Wire {
 public:
  static constexpr int64_t kInline = 32 << 10;  // payloads up to here travel with their header

  explicit Wire(const Endpoint& endpoint);
  ~Wire();

  struct Stream {
    int peer;
    Header header;
    void* data;
    int64_t bytes;  // at most header.bytes; the rest follows by raw messages
  };
  // Sends and receives all streams; returns when every one is complete. CommError when a header disagrees.
  void exchange(const std::vector<Stream>& out, const std::vector<Stream>& in);

  // Raw messages, of the same sizes in the same order at both ends. Receives may be posted at any time, sends only after an
  // exchange of headers in both directions has shown that the other end wants just that.
  class Ticket;
  std::shared_ptr<Ticket> post_send(int peer, const void* data, int64_t bytes) {
    return post(peer, data, bytes, kPayload, true);
  }
  std::shared_ptr<Ticket> post_recv(int peer, void* data, int64_t bytes) {
    return post(peer, data, bytes, kPayload, false);
  }
  void wait(const std::shared_ptr<Ticket>& ticket);

  // Closes all connections, after leaving `cause` where the other members find it.
  void close(const std::string& cause) noexcept;
  // The cause that another member has left, or `otherwise`.
  std::string cause_or(const std::string& otherwise) noexcept;
  void abort() noexcept;

 private:
  enum Tag { kHeader = 0, kPayload = 1, kRequest = 2 };
  void check(const Stream& mine, const char* theirs) const;  // CommError when the other end's header differs
  std::shared_ptr<Ticket> post(int peer, const void* data, int64_t bytes, Tag tag, bool send);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace colossal::comm
