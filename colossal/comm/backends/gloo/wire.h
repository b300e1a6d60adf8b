// SPDX-License-Identifier: Apache-2.0
// Point-to-point messages of one group over Gloo, which never meet a buffer that is meant for something else.
//
// Gloo ends the process when a message is larger than the buffer it arrives in. Here that cannot happen: Gloo pairs only messages of equal
// tag, and the tag of a payload says what its two ends take it for (agreement.h). Payloads that differ stay where they are; a wait that
// lasts is interrupted, tells the other members what it is for, and throws when they mean something else, within half a second. Short
// payloads travel with their header instead, into buffers that wait ready-made at the other end: one way, no rendezvous, and the receiver
// compares at once. Where one end throws, the connections close, and the other learns the cause.
// A member that only sends short messages waits for no answer: where a short broadcast, scatter or gather has two roots, both may return.
// Their next exchange fails, and its error is about the earlier collective; unless in it, too, both only send. One case is left to the
// timeout: a member in a collective, and another one that sends or receives a long message.
//
//   wire.exchange({{peer, header, in, bytes}}, {{peer, header, out, bytes}});
//
// Thread safety: one thread at a time; abort() from any.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "colossal/comm/backends/backends.h"
#include "colossal/comm/backends/gloo/agreement.h"

namespace colossal::comm {

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
    int64_t bytes;
  };
  // Sends and receives all streams; returns when every one is complete. CommError when another member takes part in something else, be it
  // in an earlier collective in which nothing was received from it. `meanwhile` runs once, while the first streams are under way.
  void exchange(
      const std::vector<Stream>& out, const std::vector<Stream>& in, std::function<void()> meanwhile = [] {});

  // Raw messages of 1 to kMaxMessage bytes that belong to the stream of `header`: pieces of it, in the same order and of the same sizes at
  // both ends, on each channel.
  enum class Channel : int64_t { first, second };
  class Ticket;
  using Tickets = std::vector<std::shared_ptr<Ticket>>;
  std::shared_ptr<Ticket> post_send(const Header& header, int peer, const void* data, int64_t bytes,
                                    Channel channel = Channel::first);
  std::shared_ptr<Ticket> post_recv(const Header& header, int peer, void* data, int64_t bytes,
                                    Channel channel = Channel::first);
  void wait(const std::shared_ptr<Ticket>& ticket);
  void wait_all(Tickets& tickets);  // and empties the list

  // Closes all connections, after leaving `cause` where the other members find it.
  void close(const std::string& cause) noexcept;
  // The cause that another member has left, or `otherwise`.
  std::string cause_or(const std::string& otherwise) noexcept;
  void abort() noexcept;

 private:
  enum class Way { send, recv };
  std::shared_ptr<Ticket> post(Way way, int peer, const void* data, int64_t bytes, int64_t tag);
  std::shared_ptr<Ticket> post_piece(Way way, const Header& header, int peer, const void* data, int64_t bytes,
                                     Channel channel);
  void post_payload(Tickets& tickets, Way way, const Stream& stream);
  std::shared_ptr<Ticket> post_header(const Stream& stream, std::vector<char*>& leaving);
  void receive(const Stream& stream);
  bool completed(const Ticket& ticket);  // false when the wait was interrupted
  // What a wait that lasts asks. CommError when another member means something else.
  void look_for_disagreement(const Ticket& stuck);
  void look_into_mail(const Ticket& stuck);
  void check(const Header& mine, int peer, const Header& theirs) const;

  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace colossal::comm
