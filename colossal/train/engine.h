// SPDX-License-Identifier: Apache-2.0
// One training step over any module: backward with overlapped gradient reduction, accumulation, clipping, loss scaling, the optimizer
// and its schedule. The loop stays the user's:
//
//   engine.zero_grad();
//   engine.backward(loss);          // once per micro-batch
//   engine.step();                  // acts after the last micro-batch of a global batch
//
// Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/error.h"
#include "colossal/base/json.h"
#include "colossal/comm/work.h"
#include "colossal/nn/parameter.h"
#include "colossal/nn/step_state.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/optim/loss_scaler.h"
#include "colossal/optim/optimizer.h"
#include "colossal/optim/schedule.h"
#include "colossal/train/context.h"

namespace colossal::parallel {
class GradientReducer;
}

namespace colossal::train {

// How the loss of one micro-batch is normalised by whoever computes it.
enum class LossScope {
  microbatch_mean,  // mean over the rank's micro-batch: the engine divides by accumulation and data-parallel size
  global_sum,  // already divided by the global count: the sum over micro-batches and ranks is the loss of the global batch
};

enum class NonfinitePolicy { skip, stop };

// A loss in parts, each of one element: the loss is their sum.
using LossParts = std::map<std::string, at::Tensor>;

struct EngineOptions {
  int64_t accumulation = 1;  // micro-batches per optimizer step
  LossScope loss_scope = LossScope::microbatch_mean;
  double clip_norm = 0;  // 0: gradients are not clipped (their norm is still reported)
  NonfinitePolicy on_nonfinite = NonfinitePolicy::stop;
  std::optional<optim::LossScaleOptions> loss_scale = {};  // fp16
  optim::ScheduleOptions schedule = {};                    // learning rate over steps
  int64_t bucket_bytes = 25 << 20;
  bool overlap = true;  // reduce during backward; false: after it
  nn::StepState* state =
      nullptr;  // of a factory-built model, which owns it: the engine keeps `step` and `training` current
};

// What one call of step() did.
struct StepReport {
  bool boundary = false;  // false: a micro-step in the middle of an accumulation, nothing else is set
  bool applied = false;   // false: skipped because of NaN or Inf (or an fp16 overflow)
  int64_t step = 0;       // steps completed, this one included
  double loss = 0;        // of the global batch, normalised as the engine's loss_scope says
  std::map<std::string, double> loss_parts;  // that add up to it, by the names that backward() was given
  double grad_norm = 0;                      // global L2 norm before clipping, unscaled
  double learning_rate = 0;
  double loss_scale = 1;
  std::string nonfinite;  // parameter whose gradient is NaN or Inf, empty if none
};

// A step that NaN or Inf has spoiled, on all ranks alike; nothing was updated in it.
class NonfiniteStep : public NumericsError {
 public:
  // `clip_norm` as in EngineOptions: what is in force already is not advised.
  NonfiniteStep(StepReport report, double clip_norm);
  const StepReport& report() const { return report_; }

 private:
  StepReport report_;
};

class Engine {
 public:
  Engine(Context context, std::shared_ptr<torch::nn::Module> model,
         std::unique_ptr<optim::Optimizer> optimizer, EngineOptions options);
  Engine(Engine&&) noexcept;
  ~Engine();

  void zero_grad();
  // `loss` has one element. The sum of the losses over micro-batches and data-parallel ranks travels beside the last
  // backward pass: it costs no waiting of its own, nor do the parts of a loss cost a collective more.
  void backward(const at::Tensor& loss) { backward(LossParts{{"loss", loss}}); }
  // ShapeError unless all micro-batches of a step have the same parts, at least one.
  void backward(const LossParts& parts);
  // NonfiniteStep, on all ranks alike, when the loss or a gradient of any rank is not finite and options say stop.
  StepReport step();

  // Marks the next passes as training (dropout on) or evaluation.
  void train();
  void eval();

  int64_t num_steps() const { return num_steps_; }  // completed, skipped ones included
  const Context& context() const { return context_; }
  const EngineOptions& options() const { return options_; }
  optim::Optimizer& optimizer() { return *optimizer_; }
  torch::nn::Module& model() { return *model_; }

  // Everything a checkpoint needs beyond the parameters: step, optimizer scalars, loss scaler.
  Json state() const;
  void load_state(const Json& state);

 private:
  void finish_gradients();
  optim::GradientNorm measure_gradients() const;

  Context context_;
  std::shared_ptr<torch::nn::Module> model_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  EngineOptions options_;
  optim::Schedule schedule_;
  std::unique_ptr<optim::LossScaler> scaler_;
  std::unique_ptr<parallel::GradientReducer> reducer_;
  int64_t num_steps_ = 0;
  int64_t microbatch_ = 0;               // backward passes since the last boundary
  std::vector<std::string> loss_names_;  // of the parts
  at::Tensor loss_sums_;  // fp64 [parts]; over the micro-batches, after the last one over the ranks
  comm::Work loss_work_;
};

}  // namespace colossal::train
