// SPDX-License-Identifier: Apache-2.0
// All ranks of a run as one rank sees them: who am I, how do we find each other, who carries bytes between any set of us.
//
//   std::shared_ptr<World> world = World::connect(environment_from_launcher());
//   Group all = world->group();
//
// A rank may be a process or, in tests and examples, a thread (run_ranks.h). Thread safety: one thread at a time per World.
#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "colossal/comm/group.h"
#include "colossal/comm/recorder.h"

namespace colossal::comm {

enum class BackendKind { automatic, local, gloo, nccl, fake };

// What a launcher tells a rank.
struct RankEnvironment {
  int rank = 0;
  int world_size = 1;
  int local_rank = 0;       // among the ranks of this host
  int local_world_size = 1;
  std::string master_address = "127.0.0.1";
  int master_port = 0;      // 0 with world_size 1: no rendezvous
  bool agent_store = false; // torchrun's agent owns the store: every rank is a client
  int store_fd = -1;        // own launcher: listening socket handed to rank 0
  std::string job = "";     // unique per start (restarts included): prefix of store keys and shared-memory names
  std::string launcher = "single";  // "colossal", "torchrun", "mpirun", "srun", "single", "threads"
};

struct WorldOptions {
  BackendKind backend = BackendKind::automatic;  // local when all members of a group share this host, else gloo / nccl
  std::chrono::milliseconds timeout{600'000};    // comm.timeout_seconds
  at::Device device = at::kCPU;
};

class World {
 public:
  // Rendezvous of all ranks. CommError within 10 s for a port in use, a wrong address or a world-size mismatch.
  static std::shared_ptr<World> connect(const RankEnvironment& environment, const WorldOptions& options = {});
  // `size` ranks in one process where only `rank` exists: collectives move nothing and are recorded with their bytes.
  static std::shared_ptr<World> fake(int rank, int size, at::Device device = at::kCPU);
  virtual ~World() = default;

  virtual const RankEnvironment& environment() const = 0;
  int rank() const { return environment().rank; }
  int size() const { return environment().world_size; }
  virtual at::Device device() const = 0;
  virtual Recorder& recorder() = 0;

  Group group();  // all ranks
  // The group of these world ranks, this rank among them; created at first use, cached by (ranks, name). All members must ask for it,
  // in the same order relative to their other new groups.
  virtual Group group(const std::vector<int>& ranks, const std::string& name) = 0;

  // Small shared strings: blocks until some rank has set the key, at most the timeout.
  virtual void set(const std::string& key, const std::string& value) = 0;
  virtual std::string get(const std::string& key) = 0;

  // Makes every group of this rank fail at once (a peer died, the user gave up). Callable from any thread.
  virtual void abort(const std::string& reason) noexcept = 0;
};

}  // namespace colossal::comm
