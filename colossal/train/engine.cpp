// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/engine.h"

#include <cmath>

#include "colossal/base/error.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/parallel/data/gradient_reducer.h"

namespace colossal::train {
namespace {

using parallel::GradientReducer;
using When = parallel::GradientReducerOptions::When;

std::unique_ptr<GradientReducer> make_reducer(const Context& context, const optim::Optimizer& optimizer,
                                              const EngineOptions& options) {
  return std::make_unique<GradientReducer>(
      optimizer.parameters(), context.mesh,
      parallel::GradientReducerOptions{
          .bucket_bytes = options.bucket_bytes,
          .when = options.overlap ? When::during_backward : When::after_backward});
}

}  // namespace

Engine::Engine(Context context, std::shared_ptr<torch::nn::Module> model,
               std::unique_ptr<optim::Optimizer> optimizer, EngineOptions options)
    : context_(std::move(context)),
      model_(std::move(model)),
      optimizer_(std::move(optimizer)),
      options_(std::move(options)),
      schedule_(optim::make_schedule(options_.schedule)),
      reducer_(make_reducer(context_, *optimizer_, options_)) {
  if (options_.loss_scale) scaler_ = std::make_unique<optim::LossScaler>(*options_.loss_scale);
  train();
}

Engine::Engine(Engine&&) noexcept = default;
Engine::~Engine() = default;

void Engine::train() {
  model_->train();
  if (options_.state) options_.state->training = true;
}

void Engine::eval() {
  model_->eval();
  if (options_.state) options_.state->training = false;
}

void Engine::zero_grad() {
  if (microbatch_ == 0) reducer_->begin_step();
}

void Engine::backward(const at::Tensor& loss) {
  double factor = scaler_ ? scaler_->scale() : 1.0;
  if (options_.loss_scope == LossScope::microbatch_mean)
    factor /= static_cast<double>(options_.accumulation * context_.data_size());
  ++microbatch_;
  reducer_->begin_backward(microbatch_ == options_.accumulation ? GradientReducer::Pass::reduce
                                                                : GradientReducer::Pass::accumulate);
  (factor == 1.0 ? loss : loss * factor).backward();
}

StepReport Engine::step() {
  StepReport report;
  if (microbatch_ < options_.accumulation) return report;
  reducer_->finish();
  microbatch_ = 0;
  const double loss_scale = scaler_ ? scaler_->scale() : 1.0;
  const optim::GradientNorm norm = optim::gradient_norm(optimizer_->parameters(), context_.mesh);
  report.boundary = true;
  report.grad_norm = norm.value / loss_scale;
  report.loss_scale = loss_scale;
  report.learning_rate = schedule_(num_steps_);
  report.nonfinite = norm.nonfinite;
  report.applied = std::isfinite(norm.value);
  report.step = ++num_steps_;
  if (scaler_) scaler_->update(report.applied);
  if (report.applied) {
    optimizer_->step(
        {.learning_rate = report.learning_rate,
         .gradient_scale = optim::clip_factor(report.grad_norm, options_.clip_norm) / loss_scale});
  } else if (loss_scale <= 1 && options_.on_nonfinite == NonfinitePolicy::stop) {
    // Above 1 it may be an overflow of fp16, which a smaller scale mends.
    throw NumericsError(
        fmt::format("step {}: the gradient of {} is NaN or Inf on at least one rank. Nothing was updated in "
                    "this step. Lower "
                    "optimizer.learning_rate, set train.clip_norm, or skip such steps with "
                    "train.on_nonfinite = \"skip\".",
                    report.step, norm.nonfinite));
  }
  if (options_.state) options_.state->step = num_steps_;
  return report;
}

Json Engine::state() const {
  Json json = {{"step", num_steps_}, {"optimizer", optimizer_->scalars()}};
  if (scaler_) json["loss_scaler"] = scaler_->state();
  return json;
}

void Engine::load_state(const Json& state) {
  num_steps_ = state.at("step").get<int64_t>();
  optimizer_->load_scalars(state.at("optimizer"));
  if (scaler_ && state.contains("loss_scaler")) scaler_->load_state(state.at("loss_scaler"));
  if (options_.state) options_.state->step = num_steps_;
}

}  // namespace colossal::train
