// SPDX-License-Identifier: Apache-2.0
// Interrupted runs end as uninterrupted ones.
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <csignal>

#include "colossal/base/file.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/run_ranks.h"
#include "tests/support/error.h"
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
  run_trainer(config, Start::resume);
  return outcome_of(config);
}

// The checkpoint of a run of two steps, and what runs with other settings are told that want to go on from it.
struct TwoSteps {
  ScratchFolder scratch;
  std::vector<std::string> settings = {"train.steps=2", "schedule.warmup_steps=0"};
  std::string checkpoint = scratch / "run/checkpoints/step-00000002";

  explicit TwoSteps(const std::vector<std::string>& changes = {}) { run_trainer(with(changes), Start::anew); }

  RunConfig with(const std::vector<std::string>& changes) const {
    std::vector<std::string> all = settings;
    all.insert(all.end(), changes.begin(), changes.end());
    return small_run(scratch.path(), 1, all);
  }
  std::string told(const std::vector<std::string>& changes) const {
    return error_of<ConfigError>([&] { run_trainer(with(changes), Start::resume); }, ExitCode::config);
  }
  std::string differs(const std::string& key, const std::string& now, const std::string& then) const {
    return fmt::format(
        "{} = {}, but the checkpoint {} was trained with {}. Set it to {}, or start anew in another "
        "run.output.",
        key, now, checkpoint, then, then);
  }
};

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
  run_trainer(whole, Start::anew);
  comm::run_ranks(2, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    Trainer trainer(stopped, context, Start::anew);
    if (context.rank() == 1) std::raise(SIGTERM);
    CHECK(trainer.run() == ExitCode::preempted);
  });
  CHECK(outcome_of(stopped).steps.size() == 1);
  CHECK(outcome_of(stopped).engine.at("step").get<int>() == 1);
  run_trainer(stopped, Start::resume);
  check_equal_bits(outcome_of(whole), outcome_of(stopped));
}

TEST_CASE("what must be as in the checkpoint is named, key by key, with both values") {
  const TwoSteps run;
  const auto check = [&](const std::vector<std::string>& changes, const std::vector<std::string>& lines) {
    CAPTURE(changes.front());
    CHECK(run.told(changes) == fmt::format("rank 0: {}", fmt::join(lines, "\n")));
  };
  check({"model.num_layers=1"}, {run.differs("model.num_layers", "1", "2")});
  check({"model.num_layers=3", "model.hidden_size=32", "optimizer.name=sgd"},
        {run.differs("model.num_layers", "3", "2"), run.differs("model.hidden_size", "32", "16"),
         run.differs("optimizer.name", "\"sgd\"", "\"adamw\"")});
  check({"model.family=llama"}, {run.differs("model.family", "\"llama\"", "\"gpt2\"")});
  check({"model.vocab_size=300"}, {run.differs("model.vocab_size", "300", "257")});
  check({"optimizer.amsgrad=true"}, {run.differs("optimizer.amsgrad", "true", "false")});
  check({"train.precision=fp32"}, {run.differs("train.precision", "\"fp32\"", "\"fp64\"")});
  check({"run.seed=6"}, {run.differs("run.seed", "6", "5")});
  check({"data.shuffle=false"}, {run.differs("data.shuffle", "false", "true")});
  check({"data.sequence_length=10"}, {run.differs("data.sequence_length", "10", "12")});
  check({"data.validation_fraction=0.2"}, {run.differs("data.validation_fraction", "0.2", "0.0")});
  const std::string tokenizer = std::string(COLOSSAL_ORACLES) + "/tokenizers/gpt2-bytelevel";
  check({"data.tokenizer=" + tokenizer, "data.sequence_length=8", "model.max_positions=12"},
        {run.differs("data.sequence_length", "8", "12"),
         run.differs("data.tokenizer", '"' + tokenizer + '"', "\"bytes\"")});
}

TEST_CASE("a preset is named instead of the sizes that come with it") {
  const TwoSteps run;
  RunConfig config = run.with({});
  config.model.preset = "gpt2";
  config.model.num_layers = 3;
  for (const char* key : {"model.num_layers", "model.family"}) config.origins.erase(key);
  CHECK(error_of<ConfigError>([&] { run_trainer(config, Start::resume); }) ==
        fmt::format(
            "rank 0: model.preset = \"gpt2\", but the checkpoint {} was trained without it. Remove it, or "
            "start anew in another run.output.",
            run.checkpoint));
}

TEST_CASE("what may change on resume") {
  const TwoSteps run;
  CHECK(run.told({"model.dropout=0.1", "model.attention_dropout=0", "model.init_std=0.1",
                  "train.microbatch_size=4", "optimizer.learning_rate=1e-3", "train.clip_norm=1",
                  "train.steps=3"}) == "no error");
  CHECK(outcome_of(run.with({})).steps.size() == 3);
}

TEST_CASE("data that changed under its name is told by the keys that say what it is") {
  const TwoSteps run;
  write_file_durably(run.scratch / "train.txt", read_file(run.scratch / "train.txt") + std::string(120, 'x'));
  CHECK(run.told({}) ==
        "rank 0: the training data holds 40 samples, but the checkpoint was trained on 30. Resume with the "
        "files that "
        "data.train and data.validation named then, as they were, and the same data.validation_fraction, "
        "data.sequence_length and data.tokenizer, or start a new run from the weights (model.load).");
}

TEST_CASE("state that nobody would read, or that is not there, is no way to go on") {
  const std::vector<std::string> sgd = {"optimizer.name=sgd"},
                                 momentum = {"optimizer.name=sgd", "optimizer.momentum=0.9"};
  const TwoSteps with(momentum), without(sgd);
  std::vector<std::string> names;
  const checkpoint::Checkpoint opened(with.checkpoint);
  for (const checkpoint::TensorEntry& entry : opened.manifest().tensors)
    if (entry.name.starts_with("optimizer.momentum.")) names.push_back(entry.name);
  REQUIRE(names.size() > 1);
  const std::string which = fmt::format("{} and {} more", *std::ranges::min_element(names), names.size() - 1);
  const std::string advice =
      " Resume with the [model] and [optimizer] that it was trained with, or start anew in another "
      "run.output.";
  CHECK(with.told(sgd) == fmt::format("rank 0: {}: holds {}, for which this run has no place.{}",
                                      with.checkpoint, which, advice));
  CHECK(without.told(momentum) ==
        fmt::format("rank 0: {}: lacks {}, which this run has.{}", without.checkpoint, which, advice));
}

TEST_CASE("resuming without a checkpoint starts at step 0") {
  const ScratchFolder scratch;
  const RunConfig config = small_run(scratch.path(), 2, {"train.steps=2", "schedule.warmup_steps=0"});
  run_trainer(config, Start::resume);
  CHECK(outcome_of(config).steps.size() == 2);
}
