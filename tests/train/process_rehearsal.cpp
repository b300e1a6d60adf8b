// SPDX-License-Identifier: Apache-2.0
// A rehearsal on meta tensors counts what real ranks count: real processes over shared memory, every family in every mode.
#include <doctest/doctest.h>

#include <fstream>

#include "colossal/train/monitor/metrics.h"
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

TEST_CASE("the peak of a whole run that fills in masked tokens is the planned one, nearly") {
  const ScratchFolder folder;
  std::ofstream(folder / "run.toml") << R"(
run = { progress = "none", device = "cpu" }
model = { family = "bert", num_layers = 2, hidden_size = 64, num_heads = 4, vocab_size = 20000, dropout = 0 }
data = { train = "synthetic", sequence_length = 64 }
train = { steps = 12, global_batch_size = 32, precision = "fp32" }
schedule.warmup_steps = 2
)";
  const Finished run = run_process(
      {COLOSSAL_BINARY, "train", folder / "run.toml", "--set", "run.output=" + (folder / "run").string()},
      {.environment = {"COLOSSAL_MATMUL=aten"}});  // oneDNN wants memory of its own
  REQUIRE_MESSAGE(run.exit_code == 0, run.output);
  const auto measured =
      static_cast<double>(train::read_metrics(folder / "run/metrics.jsonl").back().peak_memory_bytes);
  models::ModelConfig model = models::family("bert").usual;
  model.num_layers = 2;
  model.hidden_size = 64;
  model.num_heads = 4;
  model.vocab_size = 20000;
  model.max_positions = 64;
  model.next_sentence = true;
  model.dropout = model.attention_dropout = 0;
  const train::Rehearsal r{.model = model, .batch_size = 32};
  const auto planned = static_cast<double>(train::rehearse(comm::World::fake(0, 1, at::kMeta), r).peak_bytes);
  CHECK(measured > planned);  // the batches that wait, and of twelve the one with the most masks
  CHECK(measured < 1.1 * planned);
}
