// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/engine.h"

#include <ATen/record_function.h>

#include <cmath>

#include "colossal/base/text.h"
#include "colossal/comm/collectives.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/parallel/data/gradient_reducer.h"
#include "colossal/tensor/meta.h"
#include "colossal/train/nonfinite.h"

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

// From the sum over micro-batches and ranks to the loss of the global batch.
double loss_factor(const EngineOptions& options, const Context& context) {
  if (options.loss_scope == LossScope::global_sum) return 1;
  return 1 / static_cast<double>(options.accumulation * context.data_size());
}

std::vector<std::string> names_of(const LossParts& parts) {
  std::vector<std::string> names;
  for (const auto& [name, part] : parts) names.push_back(name);
  return names;
}

at::Tensor add_up(const LossParts& parts) {
  at::Tensor sum;
  for (const auto& [name, part] : parts) sum = sum.defined() ? sum + part : part;
  if (!sum.defined()) throw ShapeError("engine.backward: the loss has no part. Allowed: at least one.");
  return sum;
}

// fp64 [parts].
at::Tensor side_by_side(const LossParts& parts) {
  at::Tensor numbers = at::empty({static_cast<int64_t>(parts.size())},
                                 at::dtype(at::kDouble).device(parts.begin()->second.device()));
  int64_t i = 0;
  for (const auto& [name, part] : parts) numbers.narrow(0, i++, 1).copy_(part.detach().reshape({1}));
  return numbers;
}

}  // namespace

NonfiniteStep::NonfiniteStep(StepReport report, double clip_norm)
    : NumericsError(fmt::format("step {}: NaN or Inf in {} on at least one rank. Nothing was updated in this "
                                "step. Lower optimizer.learning_rate{}, or skip such steps with "
                                "train.on_nonfinite = \"skip\".",
                                report.step, name_nonfinite(report.loss, report.nonfinite),
                                clip_norm > 0 ? "" : ", set train.clip_norm")),
      report_(std::move(report)) {}

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

void Engine::backward(const LossParts& parts) {
  const at::Tensor loss = add_up(parts), own = side_by_side(parts);
  if (microbatch_ == 0) {
    loss_names_ = names_of(parts);
    loss_sums_ = own;
  } else {
    if (names_of(parts) != loss_names_)
      throw ShapeError(
          fmt::format("engine.backward: the loss has the parts {}, that of the first micro-batch of this "
                      "step {}. Allowed: the same.",
                      join(names_of(parts), ", "), join(loss_names_, ", ")));
    loss_sums_ += own;
  }
  const bool last = ++microbatch_ == options_.accumulation;
  if (last) loss_work_ = comm::all_reduce_async(loss_sums_, context_.data_group());
  reducer_->begin_backward(last ? GradientReducer::Pass::reduce : GradientReducer::Pass::accumulate);
  const double factor = loss_factor(options_, context_) * (scaler_ ? scaler_->scale() : 1.0);
  (factor == 1.0 ? loss : loss * factor).backward();
}

StepReport Engine::step() {
  StepReport report;
  if (microbatch_ < options_.accumulation) return report;
  finish_gradients();
  microbatch_ = 0;
  const optim::GradientNorm norm = measure_gradients();
  report.boundary = true;
  const std::vector<double> losses = tensor::numbers_in(loss_sums_, 0);
  for (size_t i = 0; i < losses.size(); ++i) {
    const double part = losses[i] * loss_factor(options_, context_);
    report.loss_parts[loss_names_[i]] = part;
    report.loss += part;
  }
  report.loss_scale = scaler_ ? scaler_->scale() : 1.0;
  report.grad_norm = norm.value / report.loss_scale;
  report.learning_rate = schedule_(num_steps_);
  report.nonfinite = norm.nonfinite;
  report.applied = std::isfinite(norm.value) && std::isfinite(report.loss);
  report.step = ++num_steps_;
  if (scaler_) scaler_->update(report.applied);
  if (report.applied) {
    RECORD_FUNCTION("colossal::optimizer", {});
    optimizer_->step(
        {.learning_rate = report.learning_rate,
         .gradient_scale = optim::clip_factor(report.grad_norm, options_.clip_norm) / report.loss_scale});
  } else if (report.loss_scale <= 1 && options_.on_nonfinite == NonfinitePolicy::stop) {
    // Above 1 it may be an overflow of fp16, which a smaller scale mends.
    throw NonfiniteStep(report, options_.clip_norm);
  }
  if (options_.state) options_.state->step = num_steps_;
  return report;
}

// Waits for the sums over ranks.
void Engine::finish_gradients() {
  RECORD_FUNCTION("colossal::finish_gradients", {});
  reducer_->finish();
  loss_work_.wait();
}

optim::GradientNorm Engine::measure_gradients() const {
  RECORD_FUNCTION("colossal::gradient_norm", {});
  return optim::gradient_norm(optimizer_->parameters(), context_.mesh);
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
