// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/checkpoint/directory.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/models/generate.h"
#include "colossal/tensor/random.h"
#include "colossal/train/build.h"
#include "colossal/train/evaluate.h"
#include "colossal/train/monitor/metrics.h"
#include "colossal/train/monitor/run_folder.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"

using namespace colossal;
using namespace colossal::train;

namespace {

constexpr int64_t kSequences = 13, kLength = 12;

// Some labels do not count, those of one whole sequence included.
std::shared_ptr<const data::Dataset> sequences() {
  const auto tokens = [](const char* name) {
    return tensor::random_ints(tensor::RandomKey(8).named(name), {kSequences, kLength},
                               {{0, 0}, {kSequences, kLength}}, 0, 257);
  };
  at::Tensor label = tokens("label");
  label.narrow(0, 4, 1).fill_(data::kIgnoredLabel);
  label.select(0, 9).narrow(0, 3, 5).fill_(data::kIgnoredLabel);
  return std::make_shared<data::TensorDataset>(
      models::Inputs{{"input_ids", tokens("input")}, {"labels", label}});
}

// -log p of the first `count` sequences, from the logits.
LabelScore expected(models::Model& model, int64_t count) {
  at::NoGradGuard no_grad;
  model.state().training = false;
  std::vector<int64_t> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  const data::Batch batch = sequences()->fetch(all, 0);
  const at::Tensor logits = model.outputs(batch.inputs).at("logits").view({count * kLength, -1});
  const at::Tensor label = batch.label().view({-1});
  const at::Tensor counts = label.ne(data::kIgnoredLabel);
  const at::Tensor losses =
      -at::log_softmax(logits, 1).gather(1, label.clamp_min(0).unsqueeze(1)).squeeze(1) * counts;
  const auto targets = counts.sum().item<int64_t>();
  const at::Tensor right = logits.argmax(1).eq(label);
  return {.loss = losses.sum().item<double>() / static_cast<double>(targets),
          .accuracy = right.sum().item<double>() / static_cast<double>(targets),
          .num_targets = targets};
}

void check_evaluation(const RunConfig& config, const EvaluateOptions& options, int ranks) {
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    const auto model = build_model(config, context, {.vocab_size = 257});
    const int64_t sequences_taken =
        options.max_batches == 0 ? kSequences
                                 : std::min(kSequences, options.max_batches * options.global_batch_size);
    const LabelScore dense = expected(*model, sequences_taken);
    model->state().training = true;  // as in the middle of training: evaluate() turns dropout off itself
    const Evaluation found = evaluate(*model, sequences(), options, context);
    CHECK(std::abs(found.loss - dense.loss) < 1e-12);
    const LabelScore& score = found.labels.at("labels");
    CHECK(score.loss == found.loss);
    CHECK(score.accuracy == doctest::Approx(dense.accuracy).epsilon(1e-12));
    CHECK(score.num_targets == dense.num_targets);
    CHECK(model->state().training);
  });
}

// What the model of a checkpoint finds likeliest after `prompt`, token by token.
std::string greedy_text(const std::filesystem::path& folder, const std::filesystem::path& checkpoint,
                        const std::string& prompt, int64_t tokens) {
  const RunConfig config = testing::small_run(folder, 1, {"model.load=" + checkpoint.string()});
  std::string text;
  comm::run_ranks(1, [&](std::shared_ptr<comm::World> world) {
    const auto model = std::dynamic_pointer_cast<models::LanguageModel>(
        build_model(config, launch_on(std::move(world)), {.vocab_size = 257}));
    const auto bytes = data::Tokenizer::load("bytes");
    const std::vector<int32_t> ids = bytes->encode(prompt);
    const at::Tensor start = at::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0);
    const at::Tensor out = models::generate(*model, start, {.max_new_tokens = tokens})[0];
    const at::Tensor fresh = out.slice(0, start.size(1)).contiguous();
    CHECK(fresh.numel() == tokens);
    text = bytes->decode(std::span<const int64_t>(fresh.data_ptr<int64_t>(), fresh.numel()));
  });
  return text;
}

}  // namespace

TEST_CASE("the loss of held-out data is that of its logits, for any ranks, batch and microbatch size") {
  const testing::ScratchFolder scratch;
  const RunConfig config = testing::small_run(scratch.path(), 1, {"model.init_std=0.3"});
  for (const int ranks : {1, 2, 4}) {
    for (const int64_t global : {4, 8, 16}) {  // none divides 13
      for (int64_t micro = 1; micro * ranks <= global; micro *= 2) {
        CAPTURE(ranks);
        CAPTURE(global);
        CAPTURE(micro);
        check_evaluation(config, {.global_batch_size = global, .microbatch_size = micro}, ranks);
      }
    }
  }
}

TEST_CASE("max_batches bounds an evaluation to the first global batches") {
  const testing::ScratchFolder scratch;
  const RunConfig config = testing::small_run(scratch.path(), 1, {"model.family=llama"});
  for (const int64_t batches : {1, 2, 3, 4, 9}) {
    CAPTURE(batches);
    check_evaluation(config, {.global_batch_size = 4, .microbatch_size = 2, .max_batches = batches}, 2);
  }
}

TEST_CASE("evaluation and samples change nothing in the training; with top_k = 1 a sample is greedy") {
  const testing::ScratchFolder scratch;
  const std::vector<std::string> plain = {"train.steps=5", "data.validation_fraction=0.3",
                                          "train.microbatch_size=2", "checkpoint.every=2"};
  std::vector<std::string> busy = plain;
  for (const char* change : {"train.evaluate_every=1", "train.sample_every=2", "train.sample_tokens=5",
                             "train.sample_prompt=ab", "train.sample_top_k=1"})
    busy.emplace_back(change);
  const RunConfig quiet_run = testing::small_run(scratch / "quiet", 2, plain);
  const RunConfig busy_run = testing::small_run(scratch / "busy", 2, busy);
  testing::run_trainer(quiet_run, Start::anew);
  testing::run_trainer(busy_run, Start::anew);
  const testing::Outcome result = testing::outcome_of(busy_run);
  testing::check_equal_bits(testing::outcome_of(quiet_run), result);
  for (const StepMetrics& step : result.steps) {
    CHECK(step.validation_loss.has_value());
    CHECK(std::isfinite(step.validation_loss.value_or(NAN)));
  }
  CHECK(read_samples(RunFolder{quiet_run.run.output}.samples()).empty());
  const std::vector<Sample> samples = read_samples(RunFolder{busy_run.run.output}.samples());
  REQUIRE(samples.size() == 3);
  for (size_t i = 0; i < samples.size(); ++i) {
    CAPTURE(i);
    CHECK(samples[i].step == std::vector<int64_t>{2, 4, 5}[i]);  // every two steps, and after the last
    CHECK(samples[i].prompt == "ab");
    CHECK_FALSE(samples[i].text.empty());
    const auto checkpoint = busy_run.checkpoint_folder() / checkpoint::folder_name(samples[i].step);
    CHECK(samples[i].text == greedy_text(scratch / "busy", checkpoint, "ab", 5));
  }
}
