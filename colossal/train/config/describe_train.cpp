// SPDX-License-Identifier: Apache-2.0
// Keys of [train].
#include "colossal/train/config/describe.h"
#include "colossal/train/config/model_sizes.h"

namespace colossal::train {
namespace {

constexpr const char* kNoEpochs =
    "Runs are counted in train.steps, each of train.global_batch_size sequences or images.";

void describe_loss_scale(config::Section<TrainSection>& s) {
  const std::vector<std::string> fp16 = {"fp16"};
  s.key("loss_scale", &TrainSection::loss_scale,
        "First factor on the loss, so that small gradients survive fp16.")
      .at_least(1)
      .at_most(4294967296.0)
      .only_with("train.precision", fp16)
      .also_called({"initial_scale", "init_scale", "initial_loss_scale"});
  s.key("loss_scale_growth", &TrainSection::loss_scale_growth, "The scale grows by this factor.")
      .above(1)
      .at_most(16)
      .only_with("train.precision", fp16)
      .also_called({"growth_factor"});
  s.key("loss_scale_backoff", &TrainSection::loss_scale_backoff,
        "A step that overflows is skipped; the scale shrinks by this.")
      .above(0)
      .below(1)
      .only_with("train.precision", fp16)
      .also_called({"backoff_factor"});
  s.key("loss_scale_interval", &TrainSection::loss_scale_interval,
        "Good steps in a row before the scale grows.")
      .at_least(1)
      .only_with("train.precision", fp16)
      .also_called({"growth_interval", "loss_scale_window"});
}

void describe_evaluation(config::Section<TrainSection>& s) {
  s.key("evaluate_every", &TrainSection::evaluate_every,
        "Measure the validation loss (and accuracy, for bert and vit) after every so many steps and after "
        "the last; 0: never.")
      .at_least(0)
      .also_called({"eval_every", "eval_interval", "eval_steps", "validate_every"});
  s.key("evaluate_batches", &TrainSection::evaluate_batches,
        "Global batches of one evaluation; 0: all validation data.")
      .at_least(0)
      .also_called({"eval_batches", "eval_iters"});
}

void describe_samples(config::Section<TrainSection>& s) {
  const std::vector<std::string> families = families_with({models::Task::causal_language});
  s.key("sample_every", &TrainSection::sample_every,
        "Let the model write some text after every so many steps and after the last; 0: never.")
      .at_least(0)
      .only_with("model.family", families)
      .also_called({"generate_every"});
  s.key("sample_prompt", &TrainSection::sample_prompt, "How that text begins.")
      .only_with("model.family", families)
      .also_called({"prompt"});
  s.key("sample_tokens", &TrainSection::sample_tokens,
        "Tokens to write, as far as model.max_positions leaves room behind the prompt.")
      .at_least(1)
      .only_with("model.family", families)
      .also_called({"max_new_tokens"});
  s.key("sample_temperature", &TrainSection::sample_temperature,
        "Below 1 is safer, above 1 wilder; 0 takes the likeliest.")
      .at_least(0)
      .at_most(100)
      .only_with("model.family", families)
      .also_called({"temperature"});
  s.key("sample_top_k", &TrainSection::sample_top_k, "Choose among the k likeliest tokens; 0: all.")
      .at_least(0)
      .only_with("model.family", families)
      .also_called({"top_k"});
  s.key("sample_top_p", &TrainSection::sample_top_p,
        "Choose among the likeliest tokens that together have this probability.")
      .above(0)
      .at_most(1)
      .only_with("model.family", families)
      .also_called({"top_p"});
}

}  // namespace

void describe_train(config::Section<TrainSection>& s) {
  s.key("steps", &TrainSection::steps, "Optimizer steps of the whole run.")
      .at_least(1)
      .also_called({"max_steps", "num_steps", "iterations", "max_iters", "train_iters", "total_steps"})
      .instead_of("epochs", kNoEpochs)
      .instead_of("num_epochs", kNoEpochs)
      .instead_of("num_train_epochs", kNoEpochs)
      .instead_of("max_epochs", kNoEpochs);
  s.key("global_batch_size", &TrainSection::global_batch_size,
        "Sequences (or images) of one optimizer step, over all ranks.")
      .at_least(1)
      .also_called({"batch_size", "batch", "train_batch_size"});
  s.key("microbatch_size", &TrainSection::microbatch_size,
        "Sequences (or images) that a rank takes at once; the rest of its share is accumulated.")
      .at_least(1)
      .unset_means("train.global_batch_size / parallel.data")
      .also_called({"micro_batch_size", "micro_batch", "per_device_batch_size", "per_device_train_batch_size",
                    "local_batch_size"});
  s.choice("precision", &TrainSection::precision,
           {{"fp32", Precision::fp32},
            {"bf16", Precision::bf16},
            {"fp16", Precision::fp16},
            {"fp64", Precision::fp64}},
           "Numbers of the forward and backward pass. bf16 and fp16 keep fp32 weights beside.")
      .meant("float32", "fp32")
      .meant("float", "fp32")
      .meant("bfloat16", "bf16")
      .meant("float16", "fp16")
      .meant("half", "fp16")
      .meant("float64", "fp64")
      .meant("double", "fp64")
      .also_called({"dtype", "amp", "mixed_precision"});
  s.key("clip_norm", &TrainSection::clip_norm, "Gradients are scaled down to this global norm; 0: never.")
      .at_least(0)
      .also_called({"clip_grad", "grad_clip", "max_grad_norm", "gradient_clipping", "clip_grad_norm"});
  s.choice(
      "on_nonfinite", &TrainSection::on_nonfinite, {{"skip", OnNonfinite::skip}, {"stop", OnNonfinite::stop}},
      "NaN or Inf in the loss or a gradient: leave the step out, or end the run naming step and parameter.");
  describe_loss_scale(s);
  describe_evaluation(s);
  describe_samples(s);
  s.key("profile", &TrainSection::profile, "Write a Chrome trace of every rank to <run.output>/profile.");
  s.key("profile_start", &TrainSection::profile_start,
        "First step of the trace, counted from where the run begins or resumes; the steps before warm up.")
      .at_least(1);
  s.key("profile_steps", &TrainSection::profile_steps, "Steps of the trace.").at_least(1).at_most(1000);
}

}  // namespace colossal::train
