// SPDX-License-Identifier: Apache-2.0
// Point-to-point messages of one group over Gloo, with a header beside every stream that says what its sender takes it for.
//
// Gloo ends the process when a message is larger than the buffer it arrives in. Here that cannot happen: the tag of a payload is
// made from its size, and Gloo pairs only messages of equal tag. So payloads leave without an agreement; a header beside each
// tells the receiver what it was. When the two ends differ in op, sequence, dtype or size, the receiver throws, and the
// sender learns it when the connections close (a payload of another size stays where it is). Headers have room for
// a short payload, and buffers for them wait ready-made at the other end: a short message is one way and no rendezvous.
// One that only sends waits for no answer: where a short broadcast, scatter or gather has two roots, both may return. The next
// exchange in which a member receives from the other one fails, and its error is about the earlier collective; one in which it
// again only sends finds no receiver and waits, until the timeout at the latest.
//
//   wire.exchange({{peer, header, in, bytes}}, {{peer, header, out, bytes}});
//
// Thread safety: one thread at a time; abort() from any.
#pragma once
#include <memory>
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
  static constexpr int64_t kInline = 64 << 10;     // payloads up to here travel in their header's message
  static constexpr int64_t kMaxMessage = 1 << 28;  // longer payloads travel in several

  explicit Wire(const Endpoint& endpoint);
  ~Wire();

  int size() const;
  int index() const;
  // The other members, nearest first: no two members begin with the same one.
  std::vector<int> others() const;

  struct Stream {
    int peer;
    Header header;
    void* data;
    int64_t bytes;  // at most header.bytes; the rest travels by raw messages
  };
  // Sends and receives all streams; returns when every one is complete. CommError when a header disagrees, be it that of an
  // earlier collective in which nothing was received from that member.
  void exchange(const std::vector<Stream>& out, const std::vector<Stream>& in);

  // Raw messages of 1 to kMaxMessage bytes, in the same order at both ends among those of one size and channel. They may be under
  // way before an exchange has shown that both ends mean the same; what they bring may be used only after it.
  enum class Channel : int64_t { first, second };
  class Ticket;
  using Tickets = std::vector<std::shared_ptr<Ticket>>;
  std::shared_ptr<Ticket> post_send(int peer, const void* data, int64_t bytes,
                                    Channel channel = Channel::first);
  std::shared_ptr<Ticket> post_recv(int peer, void* data, int64_t bytes, Channel channel = Channel::first);
  void wait(const std::shared_ptr<Ticket>& ticket);
  void wait_all(Tickets& tickets);  // and empties the list

  // Closes all connections, after leaving `cause` where the other members find it.
  void close(const std::string& cause) noexcept;
  // The cause that another member has left, or `otherwise`.
  std::string cause_or(const std::string& otherwise) noexcept;
  void abort() noexcept;

 private:
  enum class Way { send, recv };
  void check(const Stream& mine, const char* theirs) const;  // CommError when the other end's header differs
  void receive(const Stream& stream);
  std::shared_ptr<Ticket> post(Way way, int peer, const void* data, int64_t bytes, int64_t tag);
  void post_payload(Tickets& tickets, Way way, const Stream& stream);

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace colossal::comm
