// SPDX-License-Identifier: Apache-2.0
// From (model, optimizer, criterion, dataset) to an engine and a loader. Any torch::nn::Module trains:
//
//   auto context = colossal::launch();
//   auto [engine, loader] = colossal::initialize(context, model, {.name = "adamw"}, criterion, dataset,
//                                                {.global_batch_size = 64, .schedule = {.learning_rate = 1e-3}});
//   for (const auto& batch : loader) {
//     engine.zero_grad();
//     engine.backward(engine.criterion(engine(batch.input()), batch.label()));
//     engine.step();
//   }
//
// Thread safety: one rank, one thread.
#pragma once
#include <torch/nn/module.h>

#include <memory>
#include <optional>
#include <utility>

#include "colossal/data/loader.h"
#include "colossal/train/autocast.h"
#include "colossal/train/engine.h"

namespace colossal::train {

struct InitializeOptions {
  int64_t global_batch_size = 1;  // samples per optimizer step, over all ranks
  std::optional<int64_t> microbatch_size =
      {};  // samples per forward pass; default: global_batch_size / ranks
  at::ScalarType precision =
      at::kFloat;     // kFloat, kDouble (the module is converted), kBFloat16, kHalf (autocast)
  uint64_t seed = 1;  // of the order of samples
  data::Shuffle shuffle = data::Shuffle::yes;
  data::Pass pass = data::Pass::once;  // one epoch; endless for runs that count steps
  LossScope loss_scope = LossScope::microbatch_mean;
  double clip_norm = 0;
  NonfinitePolicy on_nonfinite = NonfinitePolicy::stop;
  optim::ScheduleOptions schedule = {};
  nn::StepState* state = nullptr;  // of a factory-built model
};

// The engine together with the types it was made of: engine(x) runs the model, engine.criterion(y, label) the loss.
template <class Model, class Criterion>
class ModelEngine : public Engine {
 public:
  ModelEngine(Engine engine, std::shared_ptr<Model> model, Criterion criterion_function,
              std::optional<at::ScalarType> autocast)
      : Engine(std::move(engine)),
        criterion(std::move(criterion_function)),
        typed_model_(std::move(model)),
        autocast_(autocast) {}

  template <class... Arguments>
  auto operator()(Arguments&&... arguments) {
    AutocastScope scope(context().device().type(), autocast_);
    return typed_model_->forward(std::forward<Arguments>(arguments)...);
  }
  Criterion criterion;

 private:
  std::shared_ptr<Model> typed_model_;
  std::optional<at::ScalarType> autocast_;
};

template <class Model, class Criterion>
struct Initialized {
  ModelEngine<Model, Criterion> engine;
  data::Loader loader;
};

// The parts of initialize() that do not depend on the types of model and criterion.
struct Prepared {
  Engine engine;
  data::Loader loader;
  std::optional<at::ScalarType> autocast;
};
Prepared prepare(const Context& context, std::shared_ptr<torch::nn::Module> model,
                 const optim::OptimizerOptions& optimizer, std::shared_ptr<const data::Dataset> dataset,
                 const InitializeOptions& options);

// Converts the module to the precision, gives every rank the weights of rank 0, builds optimizer, engine and loader.
// ConfigError for batch sizes that do not divide, an unknown optimizer or schedule.
template <class Model, class Criterion>
Initialized<Model, Criterion> initialize(const Context& context, std::shared_ptr<Model> model,
                                         const optim::OptimizerOptions& optimizer, Criterion criterion,
                                         std::shared_ptr<const data::Dataset> dataset,
                                         const InitializeOptions& options = {}) {
  Prepared prepared = prepare(context, model, optimizer, std::move(dataset), options);
  return {ModelEngine<Model, Criterion>(std::move(prepared.engine), std::move(model), std::move(criterion),
                                        prepared.autocast),
          std::move(prepared.loader)};
}

}  // namespace colossal::train

namespace colossal {
using train::Context;
using train::initialize;
using train::launch;
}  // namespace colossal
