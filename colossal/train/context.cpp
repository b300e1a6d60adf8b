// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/context.h"

#include <ATen/Parallel.h>

#include <thread>

#include "colossal/comm/launch/environment.h"
#include "colossal/tensor/allocator.h"

namespace colossal::train {
namespace {

int default_threads(int local_world_size) {
  if (std::getenv("OMP_NUM_THREADS") != nullptr) return at::get_num_threads();
  const auto cores = static_cast<int>(std::thread::hardware_concurrency());
  return std::max(1, cores / local_world_size);
}

}  // namespace

Context launch_on(std::shared_ptr<comm::World> world, std::vector<comm::Axis> axes) {
  if (axes.empty()) axes.push_back({"data", world->size()});
  comm::Mesh mesh(world, comm::MeshShape(std::move(axes)));
  return {std::move(world), std::move(mesh)};
}

Context launch(const LaunchOptions& options) {
  const comm::RankEnvironment environment = comm::environment_from_launcher();
  if (options.caching_allocator) tensor::install_caching_allocator();
  at::set_num_threads(options.threads > 0 ? options.threads : default_threads(environment.local_world_size));
  return launch_on(comm::World::connect(environment, options.world), options.axes);
}

}  // namespace colossal::train
