// SPDX-License-Identifier: Apache-2.0
// A rehearsal on meta tensors counts what real ranks count: real processes over shared memory, every family in every mode.
#include <doctest/doctest.h>

#include <fstream>

#include "tests/support/process.h"
#include "tests/support/scratch.h"
#include "tests/train/rehearsal_cases.h"

using namespace colossal;
using namespace colossal::testing;

TEST_CASE("a step on meta tensors in a world of one takes the bytes of a real step on every rank") {
  for (const int ranks : {1, 4, 8}) {
    const ScratchFolder folder;
    const Finished run =
        run_process({COLOSSAL_PROGRAMS "/rehearse", std::to_string(ranks), folder.path().string()});
    REQUIRE_MESSAGE(run.exit_code == 0, run.output);
    for (int rank = 0; rank < ranks; ++rank) {
      std::ifstream file(folder.path() / fmt::format("rank-{}.json", rank));
      const Json real = Json::parse(file);
      const auto world = comm::World::fake(rank, ranks, at::kMeta);
      for (const RehearsalCase& c : rehearsal_cases(ranks)) {
        CAPTURE(c.name);
        CAPTURE(rank);
        const Json planned = train::to_json(train::rehearse(world, c.rehearsal));
        for (const char* field : {"input_bytes", "parameter_bytes", "state_bytes", "activation_bytes",
                                  "peak_bytes", "bytes_sent", "num_messages"}) {
          CAPTURE(field);
          CHECK(planned.at(field) == real.at(c.name).at(field));
        }
      }
    }
  }
}
