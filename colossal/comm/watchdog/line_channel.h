// SPDX-License-Identifier: Apache-2.0
// JSON values as lines over a non-blocking socket. Nothing here waits, so a stopped peer can never hold up
// its watchers.
//
//   LineChannel channel(connect_to(host, port, deadline));
//   channel.send({{"hello", token}});
//   while (auto message = channel.next()) ...     // after channel.receive()
//
// Thread safety: one thread at a time.
#pragma once
#include <deque>
#include <optional>
#include <string>

#include "colossal/base/json.h"
#include "colossal/comm/launch/socket.h"

namespace colossal::comm {

class LineChannel {
 public:
  LineChannel() = default;
  explicit LineChannel(Socket socket) : socket_(std::move(socket)) {}

  int fd() const { return socket_.fd(); }
  bool open() const { return static_cast<bool>(socket_); }
  void close() { socket_.close(); }

  void send(const Json& message);  // queues and sends what the kernel takes
  void flush();
  bool backlog() const { return !out_.empty(); }

  // Reads what has arrived. Closes when the peer is gone, or sends what is not a line of JSON.
  void receive();
  std::optional<Json> next();

 private:
  Socket socket_;
  std::string in_, out_;
  std::deque<Json> messages_;
};

}  // namespace colossal::comm
