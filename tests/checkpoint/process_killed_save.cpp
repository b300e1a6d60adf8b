// SPDX-License-Identifier: Apache-2.0
// A process that is killed while it saves: whatever it was doing, a good checkpoint is there.
#include <doctest/doctest.h>

#include <csignal>

#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "tests/support/process.h"
#include "tests/support/scratch.h"

namespace colossal {
namespace {

using namespace colossal::testing;

Finished save(const ScratchFolder& folder, int64_t step, int64_t deadly_operation) {
  return run_process({COLOSSAL_PROGRAMS "/save_checkpoint", folder.path().string(), std::to_string(step),
                      std::to_string(deadly_operation)});
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

}  // namespace
}  // namespace colossal
