// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/rendezvous.h"

#include "colossal/base/error.h"
#include "colossal/comm/launch/socket.h"

namespace colossal::comm {

using std::chrono::milliseconds;

bool on_one_host(const RankEnvironment& e) { return e.local_world_size == e.world_size; }

Store connect_store(const RankEnvironment& e, milliseconds timeout) {
  const Clock::time_point deadline = Clock::now() + timeout;
  Store::Tcp tcp{.host = e.master_address,
                 .port = e.master_port,
                 .serve = e.rank == 0 && !e.agent_store,
                 .listen_fd = e.store_fd,
                 .timeout = timeout};
  if (tcp.serve && tcp.listen_fd < 0) {
    const bool loopback = e.master_address.starts_with("127.") || e.master_address == "localhost";
    // Bound here, not in c10d: for an error that says what to do, and so that one host is not open to the network.
    tcp.listen_fd = listen_on(loopback ? e.master_address : "", e.master_port).socket.release();
  }
  // The first connection is ours: c10d retries once a second and cannot tell a wrong name from a closed port.
  connect_to(e.master_address, e.master_port, deadline);
  tcp.timeout =
      std::max(milliseconds(1'000), std::chrono::duration_cast<milliseconds>(deadline - Clock::now()));
  return Store::tcp(tcp);
}

}  // namespace colossal::comm
