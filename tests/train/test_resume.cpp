// SPDX-License-Identifier: Apache-2.0
// Interrupted runs end as uninterrupted ones.
#include <doctest/doctest.h>

#include <csignal>

#include "colossal/comm/run_ranks.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"

using namespace colossal;
using namespace colossal::train;
using namespace colossal::testing;

namespace {

// The checkpoint at step 5 continued to step 10 on `ranks` ranks.
Outcome resumed_at_5(const std::filesystem::path& folder, int ranks,
                     const std::vector<std::string>& changes = {}) {
  const RunConfig config = small_run(folder, ranks, changes);
  remove_checkpoint(config, 10);
  run_trainer(config, Resume::newest);
  return outcome_of(config);
}

}  // namespace

TEST_CASE("a run resumed at step 5 ends bit for bit where it would have without the break") {
  for (const int ranks : {1, 2, 4}) {
    CAPTURE(ranks);
    const ScratchFolder scratch;
    const Outcome whole = trained(scratch.path(), ranks);
    check_equal_bits(whole, resumed_at_5(scratch.path(), ranks));
  }
}

TEST_CASE("masked tokens and moved images go on bit for bit where they were, on one rank or two") {
  for (const std::string family : {"bert", "vit"}) {
    CAPTURE(family);
    const ScratchFolder scratch;
    const std::vector<std::string> changes = {"model.family=" + family};
    const Outcome whole = trained(scratch.path(), 2, changes);
    check_equal_bits(whole, resumed_at_5(scratch.path(), 2, changes));
    check_close(whole, resumed_at_5(scratch.path(), 1, changes), 1e-10);
  }
}

TEST_CASE("every optimizer resumes bit for bit") {
  for (const std::string name : {"adam", "sgd", "adafactor", "lamb", "lars"}) {
    CAPTURE(name);
    const ScratchFolder scratch;
    std::vector<std::string> changes = {"optimizer.name=" + name};
    if (name == "sgd") changes.emplace_back("optimizer.momentum=0.9");
    if (name == "adam") changes.emplace_back("optimizer.amsgrad=true");
    const Outcome whole = trained(scratch.path(), 2, changes);
    check_equal_bits(whole, resumed_at_5(scratch.path(), 2, changes));
  }
}

TEST_CASE("bf16 and fp16 resume bit for bit, loss scale included") {
  for (const std::string precision : {"bf16", "fp16"}) {
    CAPTURE(precision);
    const ScratchFolder scratch;
    std::vector<std::string> changes = {"train.precision=" + precision};
    if (precision == "fp16") {
      // Overflows at first, then grows again: steps 1 to 10 see several scales.
      for (const char* change : {"train.loss_scale=4294967296", "train.loss_scale_backoff=0.001",
                                 "train.loss_scale_growth=1.5", "train.loss_scale_interval=3"})
        changes.emplace_back(change);
    }
    const Outcome whole = trained(scratch.path(), 2, changes);
    if (precision == "fp16") {
      CHECK_FALSE(whole.steps[0].applied);
      CHECK(whole.steps[0].loss_scale == 4294967296.0);
      CHECK(whole.steps[1].loss_scale == doctest::Approx(4294967.296).epsilon(1e-12));
      CHECK(whole.steps[9].applied);
      CHECK(whole.engine.at("loss_scaler").at("num_skipped").get<int>() >= 1);
    }
    check_equal_bits(whole, resumed_at_5(scratch.path(), 2, changes));
  }
}

TEST_CASE("a run of two ranks goes on with four, and one of four with one") {
  const ScratchFolder scratch;
  const Outcome whole = trained(scratch.path(), 2);
  check_close(whole, resumed_at_5(scratch.path(), 4), 1e-10);
  check_close(whole, resumed_at_5(scratch.path(), 1), 1e-10);
}

TEST_CASE("SIGTERM to one rank saves and stops all; resumed, the run ends as if it had gone on") {
  const ScratchFolder scratch;
  const RunConfig whole = small_run(scratch / "whole", 2), stopped = small_run(scratch / "stopped", 2);
  run_trainer(whole, Resume::no);
  comm::run_ranks(2, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    Trainer trainer(stopped, context, Resume::no);
    if (context.rank() == 1) std::raise(SIGTERM);
    CHECK(trainer.run() == ExitCode::preempted);
  });
  CHECK(outcome_of(stopped).steps.size() == 1);
  CHECK(outcome_of(stopped).engine.at("step").get<int>() == 1);
  run_trainer(stopped, Resume::newest);
  check_equal_bits(outcome_of(whole), outcome_of(stopped));
}

TEST_CASE("resuming without a checkpoint starts at step 0") {
  const ScratchFolder scratch;
  const RunConfig config = small_run(scratch.path(), 2, {"train.steps=2", "schedule.warmup_steps=0"});
  run_trainer(config, Resume::newest);
  CHECK(outcome_of(config).steps.size() == 2);
}
