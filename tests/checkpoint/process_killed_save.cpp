// SPDX-License-Identifier: Apache-2.0
// Processes that are killed while they save: whatever they were doing, a good checkpoint is there. And what a kill cannot show, because
// the kernel outlives it: that everything is on the disk before it gets its name.
#include <doctest/doctest.h>

#include <csignal>
#include <filesystem>

#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

namespace colossal {
namespace {

using namespace colossal::testing;

Finished save(const ScratchFolder& folder, int64_t step, int64_t deadly_operation,
              const std::vector<std::string>& ranks_and_victim = {}) {
  std::vector<std::string> arguments = {COLOSSAL_PROGRAMS "/save_checkpoint", folder.path().string(),
                                        std::to_string(step), std::to_string(deadly_operation)};
  arguments.insert(arguments.end(), ranks_and_victim.begin(), ranks_and_victim.end());
  return run_process(arguments);
}

// The step of the newest good checkpoint, and that its tensor is the one that was saved with it.
int64_t newest_step(const ScratchFolder& folder) {
  const auto chosen = checkpoint::newest_good(folder.path(), comm::Group());
  REQUIRE(chosen.folder.has_value());
  const checkpoint::Checkpoint opened(*chosen.folder);
  opened.verify();
  const int64_t step = opened.manifest().step;
  const at::Tensor values = opened.read("values", tensor::Layout::replicated({100}, comm::MeshShape()), 0);
  CHECK(at::equal(values, at::full({100}, step, at::kDouble)));
  return step;
}

TEST_CASE("a process killed before any operation of a save leaves the previous checkpoint or the new one") {
  ScratchFolder folder;
  REQUIRE(save(folder, 1, -1).exit_code == 0);
  int64_t operation = 0, step = 1;
  for (;; ++operation) {
    const Finished run = save(folder, 2, operation);
    INFO(run.output);
    const int64_t newest = newest_step(folder);
    CHECK(newest >= step);
    step = newest;
    if (run.exit_code == 0) break;  // it had fewer operations
    REQUIRE(run.exit_code == 128 + SIGKILL);
  }
  CHECK(operation >= 7);
  CHECK(step == 2);
  CHECK(checkpoint::list(folder.path()).size() == 1);
}

TEST_CASE(
    "one of two ranks killed during a save: the previous checkpoint stays, and the next save succeeds") {
  ScratchFolder folder;
  REQUIRE(save(folder, 1, -1).exit_code == 0);
  struct Point {
    const char* rank;
    int64_t operation;
  };
  // Rank 1 with its file half done, rank 0 with all done but the rename.
  for (const Point& point : {Point{"1", 2}, Point{"0", 5}}) {
    CAPTURE(point.rank);
    CAPTURE(point.operation);
    const Finished run = save(folder, 2, point.operation, {"2", point.rank});
    INFO(run.output);
    CHECK(run.exit_code == 128 + SIGKILL);
    CHECK(count(run.output, fmt::format("rank {} was killed by signal 9 (SIGKILL", point.rank)) == 1);
    CHECK(newest_step(folder) == 1);
  }
  REQUIRE(save(folder, 2, -1, {"2", "0"}).exit_code == 0);
  CHECK(newest_step(folder) == 2);
  // Neither the previous checkpoint (keep = 1) nor anything that the dead left behind.
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("files, their folder and the folder above are flushed to the disk, each before it can be found") {
  ScratchFolder folder;
  const std::string root = folder.path().string();
  // A file is flushed, then gets its name, then the name is flushed.
  const auto written = [](const std::string& in, const std::string& name) {
    return fmt::format("fsync {0}/{1}.tmp\nrename {0}/{1}.tmp\nto {0}/{1}\nfsync {0}\n", in, name);
  };
  const std::string first = root + "/.aside-step-00000001", second = root + "/.aside-step-00000002";
  CHECK(save(folder, 1, -1).output ==
        written(first, "rank-00000.safetensors") + written(first, "manifest.json") +
            fmt::format("rename {}\nto {}/step-00000001\nfsync {}\n", first, root, root));
  // The same step again, then another: the old one leaves only when the new one is safe.
  CHECK(save(folder, 1, -1).output ==
        written(first, "rank-00000.safetensors") + written(first, "manifest.json") +
            fmt::format("rename {}\nexchanged with {}/step-00000001\nfsync {}\n", first, root, root));
  CHECK(save(folder, 2, -1).output ==
        written(second, "rank-00000.safetensors") + written(second, "manifest.json") +
            fmt::format("rename {0}\nto {1}/step-00000002\nfsync {1}\nrename {1}/step-00000001\nto "
                        "{1}/.aside-old-1\n",
                        second, root));
}

}  // namespace
}  // namespace colossal
