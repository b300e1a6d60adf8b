// SPDX-License-Identifier: Apache-2.0
// What launch() gives: this rank's place in the run.
//
//   Context context = launch();                       // torchrun, mpirun, srun, `colossal -n 4`, or one rank
//   if (context.speaks()) fmt::print("{} ranks\n", context.world->size());
//
// Thread safety: one rank, one thread.
#pragma once
#include <functional>
#include <memory>
#include <vector>

#include "colossal/comm/mesh.h"
#include "colossal/comm/world.h"

namespace colossal::train {

struct Context {
  std::shared_ptr<comm::World> world;
  comm::Mesh mesh;

  int rank() const { return world->rank(); }
  at::Device device() const { return world->device(); }
  bool speaks() const { return rank() == 0; }  // only this rank writes messages for people
  // The ranks that hold different rows of the global batch.
  comm::Group data_group() const { return mesh.has("data") ? mesh.group("data") : comm::Group(); }
  int data_index() const { return mesh.has("data") ? mesh.coordinate("data") : 0; }
  int data_size() const { return mesh.has("data") ? mesh.axis_size("data") : 1; }
};

struct LaunchOptions {
  comm::WorldOptions world;
  std::vector<comm::Axis> axes;  // empty: {"data", number of ranks}
  int threads = 0;  // intra-op threads of this rank; 0: OMP_NUM_THREADS, else cores of the host / ranks on it
  bool caching_allocator = true;  // huge pages, memory statistics (tensor/allocator.h)
};

// Reads the launcher's environment, finds the other ranks, builds the mesh. ConfigError for an axis product that is not the number of
// ranks; CommError when ranks do not find each other.
Context launch(const LaunchOptions& options = {});

// The same on a world that exists already (ranks as threads).
Context launch_on(std::shared_ptr<comm::World> world, std::vector<comm::Axis> axes = {});

}  // namespace colossal::train
