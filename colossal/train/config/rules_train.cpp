// SPDX-License-Identifier: Apache-2.0
// Fills and checks [run], [train], [optimizer], [schedule], [parallel] and [comm].
#include <fmt/format.h>

#include <cmath>

#include "colossal/train/config/describe.h"

namespace colossal::train {
namespace {

void check_schedule(RunConfig& c, config::Review& review) {
  ScheduleSection& s = c.schedule;
  const char* total_key = s.total_steps ? "schedule.total_steps" : "train.steps";
  const int64_t total = s.total_steps.value_or(c.train.steps);
  const auto warmup_problem = [&](const std::string& fix) {
    return fmt::format(
        "schedule.warmup_steps = {} is not below {} = {}: the rate would never reach its peak. {}",
        s.warmup_steps, total_key, total, fix);
  };
  // A short trial of a long run: its length is what was asked for, the warm-up has to follow.
  if (is_on_command_line(review, total_key) && !is_on_command_line(review, "schedule.warmup_steps")) {
    review.require(
        s.warmup_steps < total, {total_key, "schedule.warmup_steps"},
        warmup_problem(fmt::format("For a short trial add --set schedule.warmup_steps={}", total / 10)));
  } else {
    review.require(s.warmup_steps < total, {"schedule.warmup_steps", total_key},
                   warmup_problem(fmt::format("Nearest: {}.", total - 1)));
  }
  if (s.name == "wsd") {
    const int64_t decay = s.decay_steps.value_or(std::max<int64_t>(1, total / 10));
    review.require(s.warmup_steps >= total || s.warmup_steps + decay <= total,
                   {"schedule.decay_steps", "schedule.warmup_steps", total_key},
                   fmt::format("schedule.warmup_steps = {} + schedule.decay_steps = {} is more than {} = {}. "
                               "schedule.decay_steps can be at most {}.",
                               s.warmup_steps, decay, total_key, total, total - s.warmup_steps));
    s.decay_steps = decay;
  }
  if (s.name == "cosine_restarts") {
    const double cycles = s.cycles.value_or(1);
    review.require(cycles == std::floor(cycles), {"schedule.cycles", "schedule.name"},
                   fmt::format("schedule.cycles = {} is not a whole number of restarts. Nearest: {} or {}.",
                               cycles, std::max(1.0, std::floor(cycles)), std::floor(cycles) + 1));
  }
  if (s.name == "cosine" || s.name == "cosine_restarts")
    s.cycles = s.cycles.value_or(s.name == "cosine" ? 0.5 : 1);
  if (s.name != "constant" && s.name != "inverse_sqrt") s.total_steps = total;
}

}  // namespace

void resolve_batch(RunConfig& c, config::Review& review) {
  TrainSection& t = c.train;
  const int64_t data = c.parallel.data.value();
  if (!t.microbatch_size) {
    review.require(t.global_batch_size % data == 0, {"train.global_batch_size", "parallel.data"},
                   fmt::format("train.global_batch_size = {} cannot be shared evenly by {} data-parallel "
                               "ranks. Nearest: {}. Ranks that "
                               "can share {}: {}.",
                               t.global_batch_size, data, multiples_near(t.global_batch_size, data),
                               t.global_batch_size, divisors_of(t.global_batch_size, data)));
    t.microbatch_size = std::max<int64_t>(1, t.global_batch_size / data);
    return;
  }
  const int64_t unit = *t.microbatch_size * data;
  std::string fix = fmt::format("Nearest: {}.", multiples_near(t.global_batch_size, unit));
  if (t.global_batch_size % data == 0) {
    fix += fmt::format(" Microbatch sizes that divide {}: {}.", t.global_batch_size / data,
                       divisors_of(t.global_batch_size / data, *t.microbatch_size));
  }
  if (t.global_batch_size % *t.microbatch_size == 0) {
    fix += fmt::format(" Ranks that can share {} microbatches: {}.", t.global_batch_size / *t.microbatch_size,
                       divisors_of(t.global_batch_size / *t.microbatch_size, data));
  }
  review.require(
      t.global_batch_size % unit == 0, {"train.global_batch_size", "train.microbatch_size", "parallel.data"},
      fmt::format("train.global_batch_size = {} is not a multiple of train.microbatch_size × parallel.data = "
                  "{} × {} = {}. {}",
                  t.global_batch_size, *t.microbatch_size, data, unit, fix));
}

void resolve_train(RunConfig& c, config::Review& review) {
  const TrainSection& t = c.train;
  review.require(t.evaluate_every == 0 || c.data.synthetic() || !c.data.validation.empty() ||
                     c.data.validation_fraction > 0,
                 {"train.evaluate_every", "data.train", "data.validation", "data.validation_fraction"},
                 fmt::format("train.evaluate_every = {} needs validation data. Set data.validation, or "
                             "data.validation_fraction = 0.01.",
                             t.evaluate_every));
  review.require(
      c.data.validation.empty() || c.data.validation_fraction == 0,
      {"data.validation_fraction", "data.validation"},
      fmt::format("data.validation_fraction = {} has no effect with data.validation. Remove one of them.",
                  c.data.validation_fraction));
  review.require(
      !t.profile || t.profile_start + t.profile_steps - 1 <= t.steps,
      {"train.profile_start", "train.profile_steps", "train.steps", "train.profile"},
      fmt::format(
          "train.profile_start = {} and train.profile_steps = {} end at step {}, after train.steps = {}.",
          t.profile_start, t.profile_steps, t.profile_start + t.profile_steps - 1, t.steps));
  review.require(
      c.comm.backend != "nccl" || c.run.device != "cpu", {"comm.backend", "run.device"},
      "comm.backend = \"nccl\" needs GPUs, but run.device = \"cpu\". Allowed there: auto, local, gloo.");
  review.require(c.comm.backend != "local" || c.run.device != "cuda", {"comm.backend", "run.device"},
                 "comm.backend = \"local\" carries CPU tensors, but run.device = \"cuda\". Allowed there: "
                 "auto, gloo, nccl.");
}

void resolve_optimizer(RunConfig& c, config::Review& review) {
  OptimizerSection& o = c.optimizer;
  const bool adam = o.name == "adamw" || o.name == "adam", lamb = o.name == "lamb", lars = o.name == "lars",
             adafactor = o.name == "adafactor";
  if (!o.weight_decay) o.weight_decay = o.name == "adamw" ? 0.1 : lamb ? 0.01 : lars ? 1e-4 : 0.0;
  if (!o.beta1 && (adam || lamb || adafactor)) o.beta1 = adafactor ? 0.0 : 0.9;
  if (!o.eps && (adam || lamb || adafactor)) o.eps = adam ? 1e-8 : lamb ? 1e-6 : 1e-30;
  if (!o.momentum && (lars || o.name == "sgd")) o.momentum = lars ? 0.9 : 0.0;
  review.require(!o.nesterov || o.momentum.value_or(0) > 0,
                 {"optimizer.nesterov", "optimizer.momentum", "optimizer.name"},
                 "optimizer.nesterov = true needs optimizer.momentum above 0. Write for example "
                 "optimizer.momentum = 0.9.");
  check_schedule(c, review);
}

}  // namespace colossal::train
