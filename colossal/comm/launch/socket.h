// SPDX-License-Identifier: Apache-2.0
// TCP sockets as the launch code needs them: owned descriptors, listening on a free port, connecting before a
// deadline.
//
//   auto [socket, port] = listen_on("127.0.0.1", 0);
//   Socket peer = connect_to("node7", port, Clock::now() + 5s);
//
// Thread safety: distinct sockets may be used from distinct threads.
#pragma once
#include <chrono>
#include <string>
#include <utility>

namespace colossal::comm {

using Clock = std::chrono::steady_clock;

// Owns a file descriptor; closed on exec.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept;
  ~Socket() { close(); }

  int fd() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void close();

 private:
  int fd_ = -1;
};

struct Listener {
  Socket socket;
  int port = 0;
};

// `address` is numeric or a name of this host; empty is every interface. Port 0 takes a free one.
// CommError names address, port and the reason (in use, not an address of this host).
Listener listen_on(const std::string& address, int port);

// Tries until the deadline: a name that does not resolve yet, a refused or a dropped connection may still
// come up. CommError then says which of these it was. The socket is non-blocking, without Nagle's delay.
Socket connect_to(const std::string& host, int port, Clock::time_point deadline);

// The address of this host on the way to `host`, "127.0.0.1" when there is none.
std::string own_address_towards(const std::string& host);

void set_nonblocking(int fd);

}  // namespace colossal::comm
