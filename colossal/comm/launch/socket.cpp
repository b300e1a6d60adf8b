// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/socket.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>

#include "colossal/base/error.h"

namespace colossal::comm {
namespace {

using AddressList = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

// Null with the reason in `problem` when the name does not resolve.
AddressList resolve(const std::string& host, int port, int flags, std::string& problem) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  const int error =
      getaddrinfo(host.empty() ? nullptr : host.c_str(), std::to_string(port).c_str(), &hints, &list);
  if (error != 0) problem = fmt::format("the name \"{}\" does not resolve ({})", host, gai_strerror(error));
  return AddressList(error == 0 ? list : nullptr, &freeaddrinfo);
}

int port_of(int fd) {
  sockaddr_storage address = {};
  socklen_t length = sizeof(address);
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(address).sin6_port
                                             : reinterpret_cast<sockaddr_in&>(address).sin_port);
}

// One attempt at one address; 0 or errno.
int try_connect(int fd, const addrinfo& address, std::chrono::milliseconds patience) {
  if (connect(fd, address.ai_addr, address.ai_addrlen) == 0) return 0;
  if (errno != EINPROGRESS) return errno;
  pollfd wait = {fd, POLLOUT, 0};
  if (poll(&wait, 1, static_cast<int>(patience.count())) == 0) return ETIMEDOUT;
  int error = 0;
  socklen_t length = sizeof(error);
  getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length);
  return error;
}

std::string explain(int error) {
  switch (error) {
    case ECONNREFUSED: return "nothing listens there (connection refused)";
    case ETIMEDOUT: return "it does not answer (timed out)";
    case EHOSTUNREACH:
    case ENETUNREACH: return "there is no route to it";
    default: return std::strerror(error);
  }
}

}  // namespace

Socket& Socket::operator=(Socket&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void Socket::close() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

void set_nonblocking(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

Listener listen_on(const std::string& address, int port) {
  std::string problem;
  AddressList list = resolve(address, port, AI_PASSIVE, problem);
  int error = 0;
  for (addrinfo* a = list.get(); a != nullptr; a = a->ai_next) {
    Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(socket.fd(), a->ai_addr, a->ai_addrlen) == 0 && listen(socket.fd(), SOMAXCONN) == 0) {
      const int bound = port_of(socket.fd());
      return {std::move(socket), bound};
    }
    error = errno;
  }
  const std::string where = fmt::format("{}:{}", address.empty() ? "*" : address, port);
  if (error == EADDRINUSE)
    throw CommError(fmt::format("cannot listen on {}: the port is in use. Choose another MASTER_PORT, or end "
                                "the program that holds it (ss -ltnp 'sport = :{}').",
                                where, port),
                    ExitCode::config);
  if (error == EADDRNOTAVAIL)
    throw CommError(fmt::format("cannot listen on {}: not an address of this host. MASTER_ADDR must be the "
                                "host of rank 0.",
                                where),
                    ExitCode::config);
  throw CommError(fmt::format("cannot listen on {}: {}.", where, error ? std::strerror(error) : problem),
                  ExitCode::config);
}

Socket connect_to(const std::string& host, int port, Clock::time_point deadline) {
  using std::chrono::milliseconds;
  const Clock::time_point started = Clock::now();
  std::string problem = "no time was left";
  for (milliseconds pause{5}; Clock::now() < deadline; pause = std::min(pause * 2, milliseconds{100})) {
    AddressList list = resolve(host, port, 0, problem);
    for (addrinfo* a = list.get(); a != nullptr; a = a->ai_next) {
      Socket socket(::socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
      const int error = try_connect(socket.fd(), *a, std::max(left, milliseconds{1}));
      if (error == 0) {
        const int on = 1;
        setsockopt(socket.fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        return socket;
      }
      problem = explain(error);
    }
    std::this_thread::sleep_for(pause);
  }
  throw CommError(
      fmt::format("cannot connect to {}:{} within {:.0f} s: {}. MASTER_ADDR and MASTER_PORT must name the "
                  "host of rank 0 and a free port there, and rank 0 must be running.",
                  host, port, std::chrono::duration<double>(deadline - started).count(), problem),
      ExitCode::config);
}

std::string own_address_towards(const std::string& host) {
  std::string problem;
  AddressList list = resolve(host, 9, 0, problem);
  if (list) {
    // Connecting a datagram socket sends nothing; it only chooses the interface.
    Socket socket(::socket(list->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_storage own = {};
    socklen_t length = sizeof(own);
    char text[NI_MAXHOST];
    if (connect(socket.fd(), list->ai_addr, list->ai_addrlen) == 0 &&
        getsockname(socket.fd(), reinterpret_cast<sockaddr*>(&own), &length) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), length, text, sizeof(text), nullptr, 0,
                    NI_NUMERICHOST) == 0)
      return text;
  }
  return "127.0.0.1";
}

}  // namespace colossal::comm
