// SPDX-License-Identifier: Apache-2.0
// Keys of [optimizer] and [schedule].
#include "colossal/train/config/describe.h"

namespace colossal::train {
namespace {

constexpr const char* kName = "optimizer.name";

void describe_adam(config::Section<OptimizerSection>& s) {
  s.key("beta1", &OptimizerSection::beta1, "Decay of the running mean of gradients; adafactor: 0 keeps none.")
      .at_least(0)
      .below(1)
      .unset_means("0.9, for adafactor 0")
      .only_with(kName, {"adamw", "adam", "lamb", "adafactor"})
      .also_called({"betas", "adam_beta1"});
  s.key("beta2", &OptimizerSection::beta2, "Decay of the running mean of squared gradients.")
      .at_least(0)
      .below(1)
      .only_with(kName, {"adamw", "adam", "lamb"})
      .also_called({"adam_beta2"});
  s.key("eps", &OptimizerSection::eps,
        "Added to the root of the mean square; adafactor: to the square itself.")
      .above(0)
      .at_most(1)
      .unset_means("1e-8 for adamw and adam, 1e-6 for lamb, 1e-30 for adafactor")
      .only_with(kName, {"adamw", "adam", "lamb", "adafactor"})
      .also_called({"epsilon", "adam_eps", "adam_epsilon"});
  s.key("amsgrad", &OptimizerSection::amsgrad, "Divide by the largest mean square so far.")
      .only_with(kName, {"adamw", "adam"});
  s.key("bias_correction", &OptimizerSection::bias_correction,
        "Correct the running means for their start at 0.")
      .only_with(kName, {"lamb"});
}

void describe_sgd(config::Section<OptimizerSection>& s) {
  s.key("momentum", &OptimizerSection::momentum, "Share of the last update that is kept.")
      .at_least(0)
      .below(1)
      .unset_means("0 for sgd, 0.9 for lars")
      .only_with(kName, {"sgd", "lars"});
  s.key("nesterov", &OptimizerSection::nesterov, "Look ahead along the momentum.").only_with(kName, {"sgd"});
  s.key("trust_coefficient", &OptimizerSection::trust_coefficient,
        "Layer rate = this × |weights| / |gradients|.")
      .above(0)
      .only_with(kName, {"lars"});
}

void describe_adafactor(config::Section<OptimizerSection>& s) {
  const std::vector<std::string> only = {"adafactor"};
  s.key("relative_step", &OptimizerSection::relative_step,
        "Rate from the step number, without optimizer.learning_rate.")
      .only_with(kName, only);
  s.key("scale_parameter", &OptimizerSection::scale_parameter,
        "Rate times the root mean square of each weight.")
      .only_with(kName, only);
  s.key("warmup_init", &OptimizerSection::warmup_init, "Slow start of the relative step.")
      .only_with("optimizer.relative_step", {"true"});
  s.key("clip_threshold", &OptimizerSection::clip_threshold, "Largest root mean square of an update.")
      .above(0)
      .only_with(kName, only);
  s.key("decay_rate", &OptimizerSection::decay_rate, "beta2 of step t is 1 - t^-decay_rate.")
      .above(0)
      .at_most(1)
      .only_with(kName, only);
  s.key("eps_scale", &OptimizerSection::eps_scale,
        "Least root mean square that optimizer.scale_parameter assumes.")
      .above(0)
      .only_with(kName, only);
}

}  // namespace

void describe_optimizer(config::Section<OptimizerSection>& s) {
  s.key("name", &OptimizerSection::name, "The update rule.")
      .one_of({"adamw", "adam", "sgd", "adafactor", "lamb", "lars"})
      .meant("momentum", "sgd")
      .also_called({"type", "optimizer", "kind"});
  s.key("learning_rate", &OptimizerSection::learning_rate, "Peak of the schedule.")
      .above(0)
      .at_most(1000)
      .only_with("optimizer.relative_step", {"false"})
      .also_called({"lr", "base_lr", "max_lr"});
  s.key("weight_decay", &OptimizerSection::weight_decay,
        "Pull of weights towards 0, norms and biases left out; adam, sgd and lars add it to the gradient.")
      .at_least(0)
      .at_most(100)
      .unset_means("0.1 for adamw, 0.01 for lamb, 0.0001 for lars, 0 for the others")
      .also_called({"wd", "decay", "l2"});
  describe_adam(s);
  describe_sgd(s);
  describe_adafactor(s);
}

void describe_schedule(config::Section<ScheduleSection>& s) {
  s.key("name", &ScheduleSection::name,
        "Course of the learning rate behind the warm-up. wsd: stable, then decay.")
      .one_of({"constant", "linear", "cosine", "cosine_restarts", "polynomial", "inverse_sqrt", "wsd"})
      .meant("warmup_stable_decay", "wsd")
      .meant("warmup-stable-decay", "wsd")
      .meant("poly", "polynomial")
      .meant("cos", "cosine")
      .meant("none", "constant")
      .also_called({"type", "schedule", "scheduler", "lr_scheduler", "lr_schedule", "kind"});
  s.key("warmup_steps", &ScheduleSection::warmup_steps, "Steps in which the rate rises from 0 to its peak.")
      .at_least(0)
      .also_called({"warmup", "num_warmup_steps", "warmup_iters", "lr_warmup_iters"});
  s.key("total_steps", &ScheduleSection::total_steps,
        "Step at which the course ends; later steps keep its last rate.")
      .at_least(1)
      .unset_means("train.steps")
      .only_with("schedule.name", {"linear", "cosine", "cosine_restarts", "polynomial", "wsd"})
      .also_called({"lr_decay_iters", "num_training_steps"});
  s.key("min_ratio", &ScheduleSection::min_ratio, "Last rate as a share of the peak.")
      .at_least(0)
      .at_most(1)
      .only_with("schedule.name", {"linear", "cosine", "polynomial", "wsd"})
      .also_called({"min_lr", "min_lr_ratio", "min_lr_rate", "lr_end"});
  s.key("cycles", &ScheduleSection::cycles, "Waves of the cosine, 0.5 falls once; or number of restarts.")
      .above(0)
      .at_most(1e6)
      .unset_means("0.5 for cosine, 1 for cosine_restarts")
      .only_with("schedule.name", {"cosine", "cosine_restarts"})
      .also_called({"num_cycles"});
  s.key("power", &ScheduleSection::power, "Exponent of the polynomial.")
      .above(0)
      .only_with("schedule.name", {"polynomial"});
  s.key("decay_steps", &ScheduleSection::decay_steps, "Steps of the decay at the end.")
      .at_least(1)
      .unset_means("a tenth of schedule.total_steps")
      .only_with("schedule.name", {"wsd"})
      .also_called({"num_decay_steps", "cooldown_steps"});
  s.key("decay", &ScheduleSection::decay, "Form of the decay.")
      .one_of({"cosine", "linear", "1-sqrt"})
      .only_with("schedule.name", {"wsd"})
      .also_called({"decay_type"});
}

}  // namespace colossal::train
