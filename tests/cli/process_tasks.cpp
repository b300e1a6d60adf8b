// SPDX-License-Identifier: Apache-2.0
// The ready runs: a few steps of each, those that fill in masked tokens and classify images alone and in a tensor mode, and what can be
// done with what they leave.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <fstream>

#include "colossal/base/file.h"
#include "tests/cli/program.h"

namespace {

using namespace colossal::testing;
using colossal::Json;
namespace fs = std::filesystem;

constexpr int kFewSteps = 4;

// A ready run with little to do, in fp64, so that layouts can be compared.
std::vector<std::string> command(const char* config, const fs::path& output,
                                 std::vector<std::string> changes) {
  for (const std::string& change :
       {"run.output=" + output.string(), fmt::format("train.steps={}", kFewSteps),
        std::string("train.evaluate_every=2"), std::string("train.evaluate_batches=1"),
        std::string("train.precision=fp64"), std::string("train.global_batch_size=16"),
        std::string("schedule.warmup_steps=2"), std::string("run.progress=lines")})
    changes.push_back(change);
  std::vector<std::string> arguments = {"train", fs::path(COLOSSAL_SOURCE_DIR) / "configs" / config};
  for (const std::string& change : changes) arguments.insert(arguments.end(), {"--set", change});
  return arguments;
}

struct BothRuns {
  ScratchFolder scratch;
  fs::path one = scratch / "one", two = scratch / "two";
  Finished first, second;
  BothRuns(const char* config, std::vector<std::string> changes) {
    const auto with = [&](std::vector<std::string> more) {
      more.insert(more.end(), changes.begin(), changes.end());
      return more;
    };
    first = run_colossal(command(config, one, with({})));
    std::vector<std::string> shared =
        command(config, two, with({"parallel.tensor.mode=1d", "parallel.tensor.size=2"}));
    shared.insert(shared.end(), {"-n", "2"});
    second = run_colossal(shared);
  }
};

const BothRuns& vit() {
  static const BothRuns runs("vit-fashion-mnist.toml", {});
  return runs;
}

// --set data.train of a text.
const std::string& words() {
  static const ScratchFolder text;
  static const std::string change = [] {
    std::ofstream words(text / "words.txt");
    for (int i = 0; i < 3000; i++) words << fmt::format("{} times {} makes {}.\n", i, i + 3, i * (i + 3));
    return "data.train=" + (text / "words.txt").string();
  }();
  return change;
}

const BothRuns& bert() {
  static const BothRuns runs("bert-text.toml", {words(), "data.sequence_length=48"});
  return runs;
}

void check_same_curve(const BothRuns& runs) {
  INFO(runs.first.output);
  INFO(runs.second.output);
  REQUIRE(runs.first.exit_code == 0);
  REQUIRE(runs.second.exit_code == 0);
  const std::vector<double> one = curve(runs.one, "loss"), two = curve(runs.two, "loss");
  REQUIRE(one.size() == kFewSteps);
  REQUIRE(two.size() == kFewSteps);
  for (int i = 0; i < kFewSteps; i++) CHECK(std::abs(one[i] - two[i]) < 1e-10);
  const Json a = metrics_of(runs.one).back(), b = metrics_of(runs.two).back();
  for (const char* key : {"validation_accuracy", "validation_next_sentence_accuracy"})
    CHECK(a.value(key, -1.0) == b.value(key, -1.0));
}

TEST_CASE("configs/quickstart.toml: a few of its steps, as make quickstart starts it") {
  const ScratchFolder scratch;
  const fs::path output = scratch / "run";
  std::vector<std::string> arguments = {"train", fs::path(COLOSSAL_SOURCE_DIR) / "configs/quickstart.toml",
                                        "-n", "2"};
  for (const std::string& change :
       {words(), "run.output=" + output.string(), std::string("run.progress=lines"),
        fmt::format("train.steps={}", kFewSteps), std::string("train.evaluate_batches=1"),
        std::string("train.sample_tokens=8"), std::string("schedule.warmup_steps=2")})
    arguments.insert(arguments.end(), {"--set", change});
  const Finished run = run_colossal(arguments);
  INFO(run.output);
  REQUIRE(run.exit_code == 0);
  CHECK(count(run.output, "gpt2 4 x 256, 4 heads, vocabulary 257: ") == 1);
  CHECK(count(run.output, "2 ranks, 16 sequences of 256 tokens per step") == 1);
  const std::vector<double> losses = curve(output, "loss");
  REQUIRE(losses.size() == kFewSteps);
  CHECK(std::abs(losses.front() - std::log(257)) < 0.2);  // it knows nothing yet
  CHECK(losses.back() < losses.front() - 0.2);
  CHECK(metrics_of(output).back().at("validation_loss").get<double>() < losses.front() - 0.2);
  const Json sample = Json::parse(colossal::read_file(output / "samples.jsonl"));
  CHECK(sample.at("step") == kFewSteps);
  CHECK(sample.at("prompt") == "And God said");
  CHECK(newest_checkpoint(output) == kFewSteps);
}

TEST_CASE("configs/vit-fashion-mnist.toml") {
  check_same_curve(vit());
  const std::string& output = vit().first.output;
  CHECK(count(output, "vit 4 x 128, 4 heads, 10 classes of 28 x 28 pixels in patches of 7: ") == 1);
  CHECK(count(output, "1 rank, 16 images per step") == 1);
  CHECK(count(output, " img/s") > 0);
  CHECK(count(output, " tok/s") == 0);
  CHECK(count(output, "%, over 16 images") == 2);
  CHECK(metrics_of(vit().one).back().at("images_per_second").get<double>() > 0);
}

TEST_CASE("configs/bert-text.toml") {
  check_same_curve(bert());
  const std::string& output = bert().first.output;
  CHECK(count(output, "bert 4 x 128, 4 heads, vocabulary 260: ") == 1);
  CHECK(count(output, "1 rank, 16 sequences of 48 tokens per step") == 1);
  CHECK(count(output, "), accuracy of masked lm ") == 3);  // two evaluations and the last words
  CHECK(count(output, "%, of next sentence ") == 3);
  CHECK(count(output, "  masked lm ") == kFewSteps);
  CHECK(count(output, " masked tokens\n") == 2);
}

TEST_CASE("one page shows the curves of both tasks") {
  const fs::path page = vit().scratch / "page.html";
  const Finished report = run_colossal({"report", vit().one, vit().two, bert().one, "--output", page});
  INFO(report.output);
  REQUIRE(report.exit_code == 0);
  const std::string text = colossal::read_file(page);
  CHECK(count(text, "\"unit\":\"images\"") == 2);
  CHECK(count(text, "\"unit\":\"tokens\"") == 1);
}

TEST_CASE("what was trained exports, verifies, lays out, and cannot write") {
  for (const BothRuns* runs : {&vit(), &bert()}) {
    const fs::path folder = runs->scratch / "hf";
    const Finished exported = run_colossal({"checkpoint", "export", runs->two, folder});
    INFO(exported.output);
    REQUIRE(exported.exit_code == 0);
    CHECK(fs::exists(folder / "tokenizer.json") == (runs == &bert()));
    const Finished verified = run_colossal(
        {"verify", folder, "-n", "2", "--set", "parallel.tensor.mode=1d", "--set", "parallel.tensor.size=2"});
    INFO(verified.output);
    CHECK(verified.exit_code == 0);
    const Finished written = run_colossal({"generate", runs->one});
    CHECK(written.exit_code == 2);
    CHECK(
        count(written.output,
              ", but one that predicts the next token is needed here. Families: gpt2, llama, qwen2, palm.") ==
        1);
    const Finished layout =
        run_colossal({"layout", runs->one / "config.toml", "-n", "4", "--set", "parallel.tensor.mode=2d",
                      "--set", "parallel.tensor.size=4", "--set", "parallel.data=1"});
    INFO(layout.output);
    CHECK(layout.exit_code == 0);
  }
}

}  // namespace
