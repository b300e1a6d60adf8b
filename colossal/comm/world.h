// SPDX-License-Identifier: Apache-2.0
// All ranks of a run as one rank sees them: who am I, how do we find each other, who carries bytes between
// any set of us.
//
//   std::shared_ptr<World> world = World::connect(environment_from_launcher());
//   Group all = world->group();
//
// A rank may be a process or, in tests and examples, a thread (run_ranks.h). Thread safety: one thread at a
// time per World, but for abort(), recorder() and copies of store().clone().
#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "colossal/comm/group.h"
#include "colossal/comm/recorder.h"
#include "colossal/comm/store.h"

namespace colossal::comm {

class Backend;
class Watchdog;

enum class BackendKind { automatic, local, gloo, nccl, fake };

// What a launcher tells a rank.
struct RankEnvironment {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among the ranks of this host
  int local_world_size = 1;
  std::string master_address = "127.0.0.1";
  int master_port = 0;       // 0 with world_size 1: no rendezvous
  bool agent_store = false;  // torchrun's agent owns the store: every rank is a client
  int store_fd = -1;         // own launcher: listening socket handed to rank 0
  std::string job = "";  // unique per start (restarts included): prefix of store keys and shared-memory names
  std::string launcher = "single";  // "colossal", "torchrun", "mpirun", "srun", "single", "threads"
};

struct WorldOptions {
  BackendKind backend =
      BackendKind::automatic;  // local when all members of a group share this host, else gloo / nccl
  std::chrono::milliseconds timeout{600'000};  // comm.timeout_seconds: of every collective
  std::chrono::milliseconds connect_timeout{
      8'000};  // comm.connect_timeout_seconds: until all ranks have found each other
  at::Device device = at::kCPU;
  // Where every rank writes its flight recorder when the watchdog finds the run lost (watchdog/dump.h). Empty: nowhere; the last
  // collective of every rank is printed on stderr all the same.
  std::filesystem::path recorder_folder = {};
};

class World {
 public:
  // Rendezvous of all ranks. CommError within `connect_timeout` for a port in use, a wrong address or a
  // world-size mismatch.
  static std::shared_ptr<World> connect(const RankEnvironment& environment, const WorldOptions& options = {});
  // The same over a store that exists already: ranks as threads (run_ranks.h).
  static std::shared_ptr<World> connect(const RankEnvironment& environment, Store store,
                                        const WorldOptions& options);
  // `size` ranks in one process where only `rank` exists: collectives move nothing and are recorded with
  // their bytes.
  static std::shared_ptr<World> fake(int rank, int size, at::Device device = at::kCPU);
  ~World();
  World(const World&) = delete;

  const RankEnvironment& environment() const { return environment_; }
  const WorldOptions& options() const { return options_; }
  int rank() const { return environment_.rank; }
  int size() const { return environment_.world_size; }
  at::Device device() const { return options_.device; }
  Recorder& recorder() { return *recorder_; }
  // Shared by all ranks, keys already prefixed with the job. A watchdog thread takes store().clone().
  Store& store() { return store_; }

  // Failure detection (watchdog/watchdog.h): tell it the step. Null for one rank, threads and fake worlds.
  Watchdog* watchdog() const { return watchdog_.get(); }
  // Names the step in what the watchdog says.
  void set_step(int64_t step);

  Group group();  // all ranks
  // The group of these world ranks, this rank among them; created at first use, cached by (ranks, name). All
  // members must ask for it, in the same order relative to their other new groups.
  Group group(const std::vector<int>& ranks, const std::string& name);

  // Makes every group of this rank fail at once (a peer died, the user gave up). Callable from any thread.
  void abort(const std::string& reason) noexcept;

 private:
  World(const RankEnvironment& environment, const WorldOptions& options, Store store);
  void agree();  // handshake of connect()
  std::unique_ptr<Backend> make_backend(const std::vector<int>& ranks, const std::string& name);
  bool share_a_host(const std::vector<int>& ranks);

  RankEnvironment environment_;
  WorldOptions options_;
  std::shared_ptr<Recorder> recorder_;
  Store store_;
  std::mutex mutex_;  // guards groups_ and aborted_ against abort()
  std::map<std::pair<std::vector<int>, std::string>, std::shared_ptr<Group::State>> groups_;
  std::optional<std::string> aborted_;
  std::unique_ptr<Watchdog> watchdog_;  // last: its thread calls abort()
};

}  // namespace colossal::comm
