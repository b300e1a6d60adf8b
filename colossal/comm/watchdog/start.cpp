// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/watchdog/start.h"

#include <random>

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/comm/launch/rendezvous.h"

namespace colossal::comm {
namespace {

using std::chrono::milliseconds;

constexpr int kHubs = 2;

// Ten heartbeats a second, fewer when a thousand ranks would make one thread busy with them.
milliseconds tick_of(int world_size) { return milliseconds(std::max(100, 2 * world_size)); }

std::string random_token() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", source(), source(), source(), source());
}

}  // namespace

std::unique_ptr<Watchdog> start_watchdog(const RankEnvironment& e, const WorldOptions& options, Store store,
                                         std::shared_ptr<Recorder> recorder,
                                         std::function<void(const std::string&)> abort) {
  const bool one_host = on_one_host(e);
  Watchdog::Options watchdog;
  watchdog.rank = e.rank;
  watchdog.recorder = std::move(recorder);
  watchdog.abort = std::move(abort);
  watchdog.timeout = options.timeout;
  watchdog.connect_timeout = options.connect_timeout;
  watchdog.tick = tick_of(e.world_size);
  watchdog.recorder_folder = options.recorder_folder;
  if (e.rank == 0) store.set("watchdog/token", random_token());
  watchdog.token = store.get("watchdog/token", options.connect_timeout);
  if (e.rank < kHubs) {
    watchdog.hub = std::make_unique<Hub>(
        Hub::Options{.own_rank = e.rank,
                     .world_size = e.world_size,
                     .token = watchdog.token,
                     .address = one_host ? "127.0.0.1" : "",
                     .judge = {.timeout = options.timeout, .connect_timeout = options.connect_timeout},
                     .tick = watchdog.tick,
                     .recorder_folder = options.recorder_folder,
                     .print = {}});
    const std::string host = one_host ? "127.0.0.1" : own_address_towards(e.master_address);
    // Rank 0 may see itself on the loopback interface; the others know it as the master.
    store.set(
        fmt::format("watchdog/{}", e.rank),
        Json{{"host", !one_host && e.rank == 0 ? e.master_address : host}, {"port", watchdog.hub->port()}}
            .dump());
  }
  for (int r = 0; r < std::min(kHubs, e.world_size); r++) {
    const Json address = Json::parse(store.get(fmt::format("watchdog/{}", r), options.connect_timeout));
    watchdog.hubs.push_back({r, address["host"].get<std::string>(), address["port"].get<int>()});
  }
  auto result = std::make_unique<Watchdog>(std::move(watchdog));
  // Nobody goes on, and perhaps away, before everybody is watched.
  if (store.add("watchdog/connected", 1) == e.world_size) store.set("watchdog/go", "");
  try {
    store.get("watchdog/go", options.connect_timeout);
  } catch (const CommError&) {
    // Another rank has failed already: this world is connected, and the first use of it will say so.
    if (!result->verdict()) throw;
  }
  return result;
}

}  // namespace colossal::comm
