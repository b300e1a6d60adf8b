// SPDX-License-Identifier: Apache-2.0
// Whole runs: the same on 1, 2 and 4 ranks, and those that go wrong.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/train/monitor/report.h"
#include "colossal/train/monitor/run_folder.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"

using namespace colossal;
using namespace colossal::train;
using namespace colossal::testing;

namespace {

std::vector<std::string> of_family(const std::string& family) {
  std::vector<std::string> changes = {"model.family=" + family};
  if (family == "bert" || family == "vit") {
    changes.emplace_back("data.validation_fraction=0.2");
    changes.emplace_back("train.evaluate_every=5");
    if (family == "vit") changes.emplace_back("train.clip_norm=0.3");
  } else if (family != "gpt2") {
    changes.emplace_back("model.num_heads=4");
    changes.emplace_back("model.num_kv_heads=2");
  }
  if (family == "palm")
    changes.emplace_back("train.clip_norm=0.2");  // its gradients are small: the logits are scaled down
  return changes;
}

}  // namespace

TEST_CASE("one rank with four microbatches, two with two and four with one train the same model") {
  for (const std::string family : {"gpt2", "llama", "qwen2", "palm", "bert", "vit"}) {
    CAPTURE(family);
    const ScratchFolder scratch;
    const Outcome one = trained(scratch / "1", 1, of_family(family));
    REQUIRE(one.steps.size() == 10);
    CHECK(one.steps.back().loss < one.steps.front().loss - 0.1);
    CHECK(one.steps[3].grad_norm > (family == "palm" ? 0.2 : family == "vit" ? 0.3 : 0.5));  // clipping acts
    check_close(one, trained(scratch / "2", 2, of_family(family)), 1e-10);
    check_close(one, trained(scratch / "4", 4, of_family(family)), 1e-10);
  }
}

TEST_CASE("dropout, its kinds and the order of samples each change what a run learns") {
  const ScratchFolder scratch;
  const Outcome all = trained(scratch / "all", 1);
  int folder = 0;
  for (const char* change : {"model.dropout=0", "model.attention_dropout=0", "data.shuffle=false",
                             "train.clip_norm=0", "run.seed=6"}) {
    CAPTURE(change);
    const Outcome other = trained(scratch / std::to_string(folder++), 1, {change});
    CHECK(std::abs(all.steps[9].loss - other.steps[9].loss) > 1e-6);
  }
}

TEST_CASE("a run that diverges skips its steps, or stops on all ranks, as train.on_nonfinite says") {
  const ScratchFolder scratch;
  std::vector<std::string> changes = {"optimizer.learning_rate=1000", "optimizer.name=adamw",
                                      "optimizer.weight_decay=100",   "schedule.min_ratio=1",
                                      "schedule.warmup_steps=0",      "train.precision=fp32",
                                      "train.on_nonfinite=skip"};
  const Outcome skipping = trained(scratch / "skip", 2, changes);
  REQUIRE(skipping.steps.size() == 10);
  const auto bad = std::find_if(skipping.steps.begin(), skipping.steps.end(),
                                [](const StepMetrics& step) { return !step.applied; });
  REQUIRE(bad != skipping.steps.begin());
  REQUIRE(bad != skipping.steps.end());
  for (auto step = bad; step != skipping.steps.end(); ++step) {
    CHECK_FALSE(step->applied);
    CHECK(step->nonfinite == bad->nonfinite);
  }

  changes.back() = "train.on_nonfinite=stop";
  const RunConfig stop = small_run(scratch / "stop", 2, changes);
  std::vector<std::string> texts(2);
  comm::run_ranks(2, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    Trainer trainer(stop, context, Start::anew);
    try {
      trainer.run();
    } catch (const NumericsError& error) {
      texts[static_cast<size_t>(context.rank())] = error.what();
    }
  });
  REQUIRE_FALSE(bad->nonfinite.empty());
  for (const std::string& text : texts) {
    CHECK(text ==
          fmt::format(
              "step {}: NaN or Inf in the loss and the gradient of {} on at least one rank. Nothing was "
              "updated in this step. Lower optimizer.learning_rate, or skip such "
              "steps with train.on_nonfinite = \"skip\".",
              bad->step, bad->nonfinite));
  }

  // The step that ended the run is the last line of its metrics, and JSON has no NaN.
  const std::filesystem::path metrics = RunFolder{stop.run.output}.metrics();
  const std::vector<StepMetrics> steps = read_metrics(metrics);
  REQUIRE(steps.size() == static_cast<size_t>(bad->step));
  for (size_t i = 0; i + 1 < steps.size(); ++i) CHECK(steps[i].applied);
  CHECK_FALSE(steps.back().applied);
  CHECK(steps.back().nonfinite == bad->nonfinite);
  const Json last = read_step_log(metrics).back();
  CHECK(last.at("loss").is_null());
  CHECK(last.at("grad_norm").is_null());
  CHECK(last.at("step") == bad->step);
  CHECK(last.at("step_seconds").get<double>() > 0);
  const Json columns = report_data(stop.run.output).at("columns");
  CHECK(columns.at("step").back() == bad->step);
  CHECK(columns.at("loss").back().is_null());
}

TEST_CASE("synthetic data fits the model that no key sizes, and has held-out sequences") {
  const ScratchFolder scratch;
  const RunConfig config = small_run(
      scratch.path(), 2,
      {"data.train=synthetic", "train.steps=2", "train.evaluate_every=1", "train.evaluate_batches=1"});
  run_trainer(config, Start::anew);
  const Outcome outcome = outcome_of(config);
  REQUIRE(outcome.steps.size() == 2);
  CHECK(std::abs(outcome.steps[0].loss - std::log(257.0)) < 0.2);
  CHECK(std::abs(outcome.steps[0].validation_loss.value_or(0) - std::log(257.0)) < 0.2);
}

TEST_CASE(
    "masks, sentence pairs and moved images are new in every epoch, and gone where they are switched off") {
  const ScratchFolder scratch;
  int folder = 0;
  const auto last_loss = [&](std::vector<std::string> changes) {
    changes.emplace_back("train.steps=8");
    changes.emplace_back("schedule.total_steps=10");
    return trained(scratch / std::to_string(folder++), 1, changes).steps.back().loss;
  };
  const double bert = last_loss({"model.family=bert"}), vit = last_loss({"model.family=vit"});
  CHECK(last_loss({"model.family=bert", "data.mask_probability=0.3"}) != bert);
  CHECK(last_loss({"model.family=bert", "model.next_sentence=false"}) <
        bert - 0.5);  // the pairs' loss is ln 2 at first
  CHECK(last_loss({"model.family=vit", "data.flip=false"}) != vit);
  CHECK(last_loss({"model.family=vit", "data.shift=0"}) != vit);
  CHECK(last_loss({"model.family=vit", "data.pixel_mean=0.2"}) != vit);
}

TEST_CASE("a ViT learns classes, a BERT to fill in, and both say how often they are right") {
  const ScratchFolder scratch;
  const Outcome vit =
      trained(scratch / "vit", 1,
              {"model.family=vit", "train.steps=60", "schedule.total_steps=60", "train.evaluate_every=20",
               "model.dropout=0", "model.attention_dropout=0", "data.flip=false", "data.shift=0",
               "data.validation_fraction=0.2", "model.init_std=0.1", "train.microbatch_size=8"});
  CHECK(vit.steps.back().loss < 0.3 * vit.steps.front().loss);
  CHECK(vit.steps[59].validation_accuracy.value_or(0) > 0.6);  // 5 classes
  CHECK_FALSE(vit.steps[58].validation_accuracy.has_value());
  const RunConfig text = small_run(
      scratch / "bert", 1,
      {"model.family=bert", "train.steps=4", "train.evaluate_every=2", "data.validation_fraction=0.2"});
  run_trainer(text, Start::anew);
  const Json line = read_step_log(RunFolder{text.run.output}.metrics()).at(1);
  CHECK(line.at("validation_accuracy").get<double>() < 1);
  CHECK(line.at("validation_next_sentence_accuracy").get<double>() > 0);
  for (const char* key : {"masked_lm_loss", "next_sentence_loss", "validation_masked_lm_loss"})
    CHECK(line.at(key).get<double>() > 0);
  CHECK(line.contains("tokens_per_second"));
  const Json image_line = read_step_log(scratch / "vit/run/metrics.jsonl").at(19);
  CHECK(image_line.at("images_per_second").get<double>() > 0);
  CHECK_FALSE(image_line.contains("tokens_per_second"));
  for (const auto& [key, value] : image_line.items()) {
    CAPTURE(key);
    CHECK(key.ends_with("loss") == (key == "loss" || key == "validation_loss"));
  }
}
