// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "colossal/base/text.h"
#include "colossal/train/nonfinite.h"

namespace colossal::train {
namespace {

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

RunFolder prepared(const RunConfig& config, int64_t world_size) {
  write_run_folder(config, run_environment(world_size));
  return {config.run.output};
}

ProgressOptions progress_options(const RunConfig& config, const MonitorStart& start) {
  return {.total_steps = config.train.steps,
          .load = start.load,
          .peak_flops = start.peak_flops,
          .style = config.run.progress,
          .lines_every = config.run.log_every.value_or(0)};
}

std::string load_text(const Load& load) {
  if (load.kind == Load::Kind::images) return fmt::format("{} images", load.samples);
  return fmt::format("{} sequences of {} tokens", load.samples, load.sample_tokens);
}

std::string percent(double share) { return fmt::format("{:.2f}%", 100 * share); }

// "validation loss 3.2145 (masked lm 2.5200, next sentence 0.6945), accuracy of masked lm 31.20%, of next sentence 55.00%"
std::string validation_text(const Validation& result) {
  std::vector<std::string> losses, accuracies;
  for (const auto& [name, part] : result.parts) {
    losses.push_back(fmt::format("{} {:.4f}", readable(name), part.loss));
    accuracies.push_back(fmt::format("of {} {}", readable(name), percent(part.accuracy)));
  }
  std::string text = fmt::format("validation loss {:.4f}", result.loss);
  if (!losses.empty()) text += fmt::format(" ({})", join(losses, ", "));
  if (!accuracies.empty()) return text + ", accuracy " + join(accuracies, ", ");
  return result.accuracy ? fmt::format("{}, accuracy {}", text, percent(*result.accuracy)) : text;
}

}  // namespace

Monitor::Monitor(const RunConfig& config, const MonitorStart& start)
    : folder_(prepared(config, start.world_size)),
      metrics_(folder_.metrics(), start.steps_done + 1),
      samples_(folder_.samples(), start.steps_done + 1),
      steps_before_(start.steps_done),
      total_steps_(config.train.steps),
      started_at_(wall_seconds()),
      progress_(progress_options(config, start)) {
  if (config.run.tensorboard) events_.emplace(folder_.tensorboard(), start.steps_done + 1, started_at_);
  const int64_t accumulation = config.accumulation_steps();
  progress_.note(fmt::format("{}: {}{} rank{}, {} per step{}{}", config.run.name,
                             start.model.empty() ? "" : start.model + "; ", start.world_size,
                             start.world_size == 1 ? "" : "s", load_text(start.load),
                             accumulation > 1 ? fmt::format(" in {} parts", accumulation) : "",
                             start.steps_done > 0 && start.steps_done < total_steps_
                                 ? fmt::format("; goes on after step {}", start.steps_done)
                                 : ""));
}

void Monitor::scalar(std::string_view tag, double value, const StepMetrics& m) {
  if (events_) events_->scalar(tag, value, m.step, m.time);
}

void Monitor::step(StepMetrics m) {
  m.time = wall_seconds();
  last_ = m;
  metrics_.write(m);
  scalar("train/loss", m.loss, m);
  for (const auto& [name, part] : m.parts) scalar("train/" + name + "_loss", part.loss, m);
  scalar("train/grad_norm", m.grad_norm, m);
  scalar("train/learning_rate", m.learning_rate, m);
  scalar(m.kind == Load::Kind::images ? "speed/images_per_second" : "speed/tokens_per_second",
         m.load_per_second, m);
  scalar("speed/step_seconds", m.step_seconds, m);
  scalar("speed/data_wait_seconds", m.data_wait_seconds, m);
  scalar("speed/communication_seconds", m.communication_seconds, m);
  scalar("memory/peak_bytes", static_cast<double>(m.peak_memory_bytes), m);
  if (m.loss_scale != 1) scalar("train/loss_scale", m.loss_scale, m);
  if (events_ && m.time - flushed_at_ > 2) {
    events_->flush();
    flushed_at_ = m.time;
  }
  if (m.failed) return;
  if (!m.applied) {
    progress_.note(fmt::format("step {}: left out, NaN or Inf in {}{}", m.step,
                               name_nonfinite(m.loss, m.nonfinite),
                               m.loss_scale != 1 ? fmt::format(" (loss scale now {:g})", m.loss_scale) : ""));
  }
  progress_.step(m);
}

void Monitor::validation(int64_t step, const Validation& result) {
  last_validation_ = result;
  if (last_.step == step) {
    last_.validation_loss = result.loss;
    last_.validation_accuracy = result.accuracy;
    for (const auto& [name, part] : result.parts) {
      last_.parts[name].validation_loss = part.loss;
      last_.parts[name].validation_accuracy = part.accuracy;
    }
    metrics_.rewrite(last_);
  }
  const auto event = [&](const std::string& tag, double value) {
    if (events_) events_->scalar("validation/" + tag, value, step, wall_seconds());
  };
  event("loss", result.loss);
  if (result.accuracy) event("accuracy", *result.accuracy);
  for (const auto& [name, part] : result.parts) {
    event(name + "_loss", part.loss);
    event(name + "_accuracy", part.accuracy);
  }
  progress_.note(fmt::format("step {}: {}{}, over {} {}", step, validation_text(result),
                             result.accuracy ? "" : fmt::format(", perplexity {:.2f}", std::exp(result.loss)),
                             human_count(static_cast<double>(result.num_targets)), result.targets));
}

void Monitor::sample(int64_t step, const std::string& prompt, const std::string& text) {
  samples_.append({{"step", step}, {"prompt", prompt}, {"text", text}});
  // A model may write anything: control characters must not steer the terminal.
  std::string shown = prompt + text;
  std::ranges::replace_if(
      shown, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f; }, ' ');
  progress_.note(fmt::format("step {}: \"{}\"", step, shown));
}

void Monitor::saved(int64_t step, const std::filesystem::path& checkpoint, double seconds) {
  progress_.note(fmt::format("step {}: saved {} in {}", step, checkpoint.string(), human_seconds(seconds)));
}

void Monitor::finish(bool stopped) {
  if (events_) events_->flush();
  progress_.finish();
  if (last_.step == 0 && !stopped) {
    progress_.note(
        fmt::format("nothing to do: the run is at step {} already, and train.steps = {} is the number of "
                    "steps in all. To train "
                    "on, raise train.steps, for example --set train.steps={}",
                    steps_before_, total_steps_, steps_before_ + total_steps_));
    return;
  }
  const int64_t now = last_.step - steps_before_;
  std::string text = stopped ? fmt::format("stopped after step {} of {}", last_.step, total_steps_)
                             : fmt::format("done: {} step{}", now, now == 1 ? "" : "s");
  text += fmt::format(" in {}", human_seconds(wall_seconds() - started_at_));
  if (steps_before_ > 0) text += fmt::format(" ({} in all, {} before)", last_.step, steps_before_);
  if (std::isfinite(last_.loss)) text += fmt::format(", loss {:.4f}", last_.loss);
  if (last_validation_) text += ", " + validation_text(*last_validation_);
  progress_.note(text);
}

}  // namespace colossal::train
