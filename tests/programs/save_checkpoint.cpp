// SPDX-License-Identifier: Apache-2.0
// Saves a checkpoint and is killed on the way, for the tests of saving. Prints what it flushes and renames.
//
//   save_checkpoint FOLDER STEP 3           # SIGKILL before the file system operation of this number, from 0; -1: never
//   save_checkpoint FOLDER STEP 3 2 1       # two ranks, of which rank 1 is killed
#include <ATen/ATen.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "colossal/checkpoint/store.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/comm/launch/launcher.h"
#include "colossal/comm/mesh.h"
#include "colossal/comm/world.h"

using namespace colossal;

namespace {

// With the process number, which is in the names of unfinished files, left out.
void tell(const std::string& what, std::string path) {
  const std::string mark = fmt::format(".tmp.{}", getpid());
  if (const size_t at = path.find(mark); at != std::string::npos) path.replace(at, mark.size(), ".tmp");
  fmt::print("{} {}\n", what, path);
}

int tell_rename(const char* from, const char* to, unsigned flags) {
  tell("rename", from);
  tell(flags == RENAME_EXCHANGE ? "exchanged with" : "to", to);
  return static_cast<int>(syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags));
}

}  // namespace

// In place of the C library's, for this program and every library that it loads.
extern "C" {
int fsync(int fd) {
  tell("fsync", std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", fd)).string());
  return static_cast<int>(syscall(SYS_fsync, fd));
}
// NOLINTBEGIN(readability-inconsistent-declaration-parameter-name): the system has names of its own
int rename(const char* from, const char* to) noexcept { return tell_rename(from, to, 0); }
int renameat2(int, const char* from, int, const char* to, unsigned flags) noexcept {
  return tell_rename(from, to, flags);
}
// NOLINTEND(readability-inconsistent-declaration-parameter-name)
}

int main(int argc, char** argv) {
  if (argc != 4 && argc != 6) return 2;
  const int64_t step = std::stoll(argv[2]), deadly = std::stoll(argv[3]);
  const int num_ranks = argc == 6 ? std::stoi(argv[4]) : 1, victim = argc == 6 ? std::stoi(argv[5]) : 0;
  std::shared_ptr<comm::World> world;
  try {
    const comm::RankEnvironment environment = comm::environment_from_launcher();
    if (num_ranks > 1 && environment.launcher == "single")
      return comm::launch_local(num_ranks, {argv, argv + argc});
    world = comm::World::connect(environment);
    const comm::Mesh mesh(world, comm::MeshShape({{"data", num_ranks}}));
    const tensor::Layout layout({100}, mesh.shape(), {{"data"}});
    int64_t operation = 0;
    checkpoint::save({.folder = argv[1],
                      .step = step,
                      .tensors = {{"values", at::full(layout.local_shape(), step, at::kDouble), layout}},
                      .state = {},
                      .keep = 1,
                      .before_operation =
                          [&](const std::string&) {
                            if (mesh.rank() == victim && operation++ == deadly) kill(getpid(), SIGKILL);
                          }},
                     mesh.all());
  } catch (const std::exception& error) {
    return comm::report_failure(error, world.get());
  }
  return 0;
}
