// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/backends.h"
#include "colossal/comm/backends/local/local_backend.h"

namespace colossal::comm {
namespace {

// "data" of "<job>/data.3".
std::string short_name(const std::string& name) {
  const size_t begin = name.rfind('/') == std::string::npos ? 0 : name.rfind('/') + 1;
  return name.substr(begin, name.rfind('.') == std::string::npos ? name.npos : name.rfind('.') - begin);
}

}  // namespace

std::unique_ptr<Backend> make_local(const Endpoint& endpoint) {
  Store store = endpoint.store;
  return std::make_unique<local::LocalBackend>(local::Place{
      .group = short_name(endpoint.name),
      .ranks = endpoint.ranks,
      .index = endpoint.index,
      .host_ranks = endpoint.host_ranks,
      .timeout = endpoint.timeout,
      .connect_timeout = endpoint.connect_timeout,
      .tell = [&](const std::string& ticket) { store.set("local", ticket); },
      .hear = [&] { return store.get("local", endpoint.connect_timeout); },
  });
}

}  // namespace colossal::comm
