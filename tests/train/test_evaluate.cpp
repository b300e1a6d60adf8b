// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/comm/run_ranks.h"
#include "colossal/tensor/random.h"
#include "colossal/train/build.h"
#include "colossal/train/evaluate.h"
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

TEST_CASE("evaluation and samples during training change nothing in the training") {
  const testing::ScratchFolder scratch;
  const std::vector<std::string> plain = {"train.steps=4", "data.validation_fraction=0.3",
                                          "train.microbatch_size=2"};
  std::vector<std::string> busy = plain;
  for (const char* change :
       {"train.evaluate_every=1", "train.sample_every=2", "train.sample_tokens=5", "train.sample_prompt=ab"})
    busy.emplace_back(change);
  const RunConfig quiet_run = testing::small_run(scratch / "quiet", 2, plain);
  const RunConfig busy_run = testing::small_run(scratch / "busy", 2, busy);
  testing::run_trainer(quiet_run, Resume::no);
  testing::run_trainer(busy_run, Resume::no);
  const testing::Outcome result = testing::outcome_of(busy_run);
  testing::check_equal_bits(testing::outcome_of(quiet_run), result);
  for (const StepMetrics& step : result.steps) {
    CHECK(step.validation_loss.has_value());
    CHECK(std::isfinite(step.validation_loss.value_or(NAN)));
  }
}
