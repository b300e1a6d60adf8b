// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "colossal/train/monitor/flops.h"

namespace colossal::train {
namespace {

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

RunFolder prepared(const RunConfig& config, const MonitorOptions& options) {
  write_run_folder(config, run_environment(options.world_size));
  return {config.run.output};
}

ProgressOptions progress_options(const RunConfig& config, const MonitorOptions& options) {
  ProgressOptions progress{.total_steps = config.train.steps,
                           .tokens_per_step = config.train.global_batch_size * config.data.sequence_length,
                           .peak_flops = options.peak_flops,
                           .style = config.run.progress};
  if (options.vocab_size > 0 && config.model.num_layers && config.model.hidden_size &&
      config.model.ffn_size) {
    progress.flops_per_token = flops_per_token(config.model, options.vocab_size, config.data.sequence_length);
  }
  return progress;
}

}  // namespace

Monitor::Monitor(const RunConfig& config, const MonitorOptions& options)
    : folder_(prepared(config, options)),
      metrics_(folder_.metrics(), options.first_step),
      progress_(progress_options(config, options)) {
  samples_.emplace(folder_.samples(), options.first_step);
  if (config.run.tensorboard) events_.emplace(folder_.tensorboard(), options.first_step, wall_seconds());
}

void Monitor::step(StepMetrics m) {
  m.time = wall_seconds();
  metrics_.write(m);
  if (events_) {
    events_->scalar("train/loss", m.loss, m.step, m.time);
    events_->scalar("train/grad_norm", m.grad_norm, m.step, m.time);
    events_->scalar("train/learning_rate", m.learning_rate, m.step, m.time);
    events_->scalar("speed/tokens_per_second", m.tokens_per_second, m.step, m.time);
    events_->scalar("speed/step_seconds", m.step_seconds, m.step, m.time);
    events_->scalar("speed/data_wait_seconds", m.data_wait_seconds, m.step, m.time);
    events_->scalar("speed/communication_seconds", m.communication_seconds, m.step, m.time);
    events_->scalar("memory/peak_bytes", static_cast<double>(m.peak_memory_bytes), m.step, m.time);
    if (m.validation_loss) events_->scalar("validation/loss", *m.validation_loss, m.step, m.time);
    if (m.loss_scale) events_->scalar("train/loss_scale", *m.loss_scale, m.step, m.time);
    if (m.time - flushed_at_ > 2) {
      events_->flush();
      flushed_at_ = m.time;
    }
  }
  if (m.validation_loss) {
    progress_.note(fmt::format("step {}: validation loss {:.4f}, perplexity {:.2f}", m.step,
                               *m.validation_loss, std::exp(*m.validation_loss)));
  }
  progress_.step(m);
}

void Monitor::sample(const Sample& sample) {
  samples_->append({{"step", sample.step}, {"prompt", sample.prompt}, {"text", sample.text}});
  // A model may write anything: control characters must not steer the terminal.
  std::string shown = sample.prompt + sample.text;
  std::ranges::replace_if(
      shown, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\n') || c == 0x7f; }, ' ');
  progress_.note(fmt::format("step {}: \"{}\"", sample.step, shown));
}

void Monitor::finish() {
  if (events_) events_->flush();
  progress_.finish();
}

}  // namespace colossal::train
