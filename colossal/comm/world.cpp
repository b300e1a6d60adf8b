// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/world.h"

#include <fmt/ranges.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <random>
#include <thread>

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/base/text.h"
#include "colossal/comm/backends/backends.h"
#include "colossal/comm/group_state.h"
#include "colossal/comm/launch/rendezvous.h"
#include "colossal/comm/launch/socket.h"
#include "colossal/comm/watchdog/start.h"

namespace colossal::comm {

namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Equal for two ranks exactly when they can map the same shared memory: same boot of the same kernel, same
// /dev/shm.
std::string host_id() {
  std::string boot = "unknown";
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat shm {};
  if (::stat("/dev/shm", &shm) != 0) return fmt::format("{}-no-shm-{}", boot, ::getpid());
  return fmt::format("{}-{}", boot, shm.st_dev);
}

std::string random_id() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}", source(), source());
}

void check_environment(const RankEnvironment& environment) {
  const auto& e = environment;
  if (e.world_size >= 1 && e.rank >= 0 && e.rank < e.world_size) return;
  throw ConfigError(
      fmt::format("launch: rank {} of a world of {}. Allowed: world size 1 or more, ranks 0 to {}. "
                  "Check what the launcher ({}) sets.",
                  e.rank, e.world_size, std::max(0, e.world_size - 1), e.launcher));
}

// "data" and its ranks in a form that is short for thousands of ranks and differs for different groups.
std::string group_key(const std::vector<int>& ranks, const std::string& name) {
  uint64_t hash = 1469598103934665603ull;  // FNV-1a
  for (const int rank : ranks) hash = (hash ^ static_cast<uint64_t>(rank)) * 1099511628211ull;
  return fmt::format("{}.{}-{}-{:016x}", name, ranks.front(), ranks.size(), hash);
}

}  // namespace

World::World(const RankEnvironment& environment, const WorldOptions& options, Store store)
    : environment_(environment),
      options_(options),
      recorder_(std::make_shared<Recorder>()),
      store_(std::move(store)) {
  check_environment(environment_);
}

World::~World() = default;

std::shared_ptr<World> World::connect(const RankEnvironment& environment, const WorldOptions& options) {
  check_environment(environment);
  if (environment.world_size == 1) return connect(environment, Store::in_process(), options);
  Store store = connect_store(environment, options.connect_timeout);
  std::shared_ptr<World> world =
      connect(environment, environment.job.empty() ? store : store.prefixed(environment.job), options);
  world->watchdog_ =
      start_watchdog(environment, options, world->store_, world->recorder_,
                     [world = world.get()](const std::string& reason) { world->abort(reason); });
  return world;
}

std::shared_ptr<World> World::connect(const RankEnvironment& environment, Store store,
                                      const WorldOptions& options) {
  std::shared_ptr<World> world(new World(environment, options, std::move(store)));
  world->agree();
  return world;
}

std::shared_ptr<World> World::fake(int rank, int size, at::Device device) {
  RankEnvironment environment;
  environment.rank = rank;
  environment.world_size = size;
  environment.launcher = "fake";
  WorldOptions options;
  options.backend = BackendKind::fake;
  options.device = device;
  return std::shared_ptr<World>(new World(environment, options, Store::in_process()));
}

// Every rank says hello; rank 0 compares world sizes, picks the id of the job and answers for all.
void World::agree() {
  const auto deadline = steady_clock::now() + options_.connect_timeout;
  const auto left = [&] {
    return std::max(milliseconds(1),
                    std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now()));
  };
  if (store_.add(fmt::format("count/{}", rank()), 1) > 1) {
    throw CommError(
        fmt::format(
            "rendezvous: two processes say that they are rank {} of {}. Every process needs a rank of its "
            "own: check what the launcher ({}) sets, and that no other run uses {}:{}.",
            rank(), size(), environment_.launcher, environment_.master_address, environment_.master_port),
        ExitCode::config);
  }
  store_.set(fmt::format("hello/{}", rank()), Json{{"size", size()}, {"host", host_id()}}.dump());
  if (rank() == 0) {
    Json answer = {{"size", size()}, {"job", random_id()}, {"missing", Json::array()}};
    for (int r = 0; r < size(); ++r) {
      try {
        const Json hello = Json::parse(store_.get(fmt::format("hello/{}", r), left() * 9 / 10));
        if (hello["size"] == size()) continue;
        answer["other"] = {{"rank", r}, {"size", hello["size"]}};
        break;  // those that rank 0 still waits for may not exist
      } catch (const CommError&) {
        answer["missing"].push_back(r);
      }
    }
    store_.set("answer", answer.dump());
  }
  const Json answer = Json::parse(store_.get("answer", left() + milliseconds(500)));
  const int num_missing = static_cast<int>(answer["missing"].size());
  // The store lives in rank 0: it must not go before the others have read why.
  const auto refuse = [&](const std::string& message) {
    int64_t readers = store_.add("readers", 1);
    const auto patience = steady_clock::now() + milliseconds(1'000);
    while (rank() == 0 && readers < size() - num_missing && steady_clock::now() < patience) {
      std::this_thread::sleep_for(milliseconds(5));
      readers = store_.add("readers", 0);
    }
    throw CommError("rendezvous: " + message, ExitCode::config);
  };
  if (answer["size"] != size() || answer.contains("other")) {
    const bool mine = answer["size"] != size();
    refuse(fmt::format(
        "rank {} was started with a world size of {}, rank 0 with {}. Start all ranks with the same number.",
        mine ? rank() : answer["other"]["rank"].get<int>(),
        mine ? size() : answer["other"]["size"].get<int>(), answer["size"].get<int>()));
  }
  if (num_missing > 0) {
    refuse(
        fmt::format("rank{} {} of {} did not come within {:.0f} s. Is the world size right on every "
                    "host? Slow starts: raise comm.connect_timeout_seconds.",
                    num_missing == 1 ? "" : "s", fmt::join(answer["missing"].get<std::vector<int>>(), ", "),
                    size(), options_.connect_timeout.count() / 1e3));
  }
  if (environment_.job.empty()) environment_.job = answer["job"].get<std::string>();
}

bool World::share_a_host(const std::vector<int>& ranks) {
  const auto host = [&](int rank) {
    return Json::parse(store_.get(fmt::format("hello/{}", rank), options_.connect_timeout))["host"]
        .get<std::string>();
  };
  const std::string mine = host_id();
  return std::all_of(ranks.begin(), ranks.end(), [&](int rank) { return host(rank) == mine; });
}

std::unique_ptr<Backend> World::make_backend(const std::vector<int>& ranks, const std::string& name) {
  const std::string key = group_key(ranks, name);
  Endpoint endpoint{.name = environment_.job + "/" + key,
                    .ranks = ranks,
                    .index = static_cast<int>(std::find(ranks.begin(), ranks.end(), rank()) - ranks.begin()),
                    .store = store_.prefixed("group/" + key),
                    // With a watchdog it alone decides: a backend cannot tell a slow rank from a lost one.
                    .timeout = watchdog_ ? std::chrono::hours(24) : options_.timeout,
                    .connect_timeout = options_.connect_timeout,
                    .host_ranks = environment_.local_world_size,
                    .threads = environment_.launcher == "threads",
                    .interface_address = own_address_towards(environment_.master_address),
                    .device = options_.device};
  switch (options_.backend) {
    case BackendKind::fake: return make_fake(endpoint);
    case BackendKind::nccl: return make_nccl(endpoint);
    case BackendKind::gloo: return make_gloo(endpoint);
    case BackendKind::local: return make_local(endpoint);
    case BackendKind::automatic: break;
  }
  if (options_.device.is_cuda()) return make_nccl(endpoint);
  return share_a_host(ranks) ? make_local(endpoint) : make_gloo(endpoint);
}

Group World::group() {
  std::vector<int> ranks(size());
  for (int r = 0; r < size(); ++r) ranks[r] = r;
  return group(ranks, "world");
}

Group World::group(const std::vector<int>& ranks, const std::string& name) {
  if (ranks == std::vector<int>{rank()}) return Group();
  {
    std::lock_guard lock(mutex_);
    if (aborted_) throw CommError(*aborted_);
    if (const auto known = groups_.find({ranks, name}); known != groups_.end()) return Group(known->second);
  }
  const auto me = std::find(ranks.begin(), ranks.end(), rank());
  if (me == ranks.end()) {
    throw InternalError(fmt::format("group \"{}\": rank {} is not among its ranks.", name, rank()));
  }
  auto state = std::make_shared<Group::State>();
  state->name = name;
  state->ranks = ranks;
  state->index = static_cast<int>(me - ranks.begin());
  state->device = options_.device;
  state->recorder = recorder_;
  state->group_id = recorder_->join(group_key(ranks, name));
  state->backend = make_backend(ranks, name);
  std::lock_guard lock(mutex_);
  if (aborted_) throw CommError(*aborted_);
  groups_[{ranks, name}] = state;
  return Group(std::move(state));
}

void World::set_step(int64_t step) {
  if (watchdog_) watchdog_->set_step(step);
}

void World::abort(const std::string& reason) noexcept {
  store_.abort(reason);
  std::lock_guard lock(mutex_);
  if (!aborted_) aborted_ = reason;
  for (const auto& [key, state] : groups_) state->fail(reason);
}

}  // namespace colossal::comm
