// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/initialize.h"

#include "colossal/comm/collectives.h"

namespace colossal::train {
namespace {

// A module of the user starts with random numbers of its own on every rank: rank 0's count.
void share_initial_weights(const Context& context, const std::vector<nn::Parameter>& parameters,
                           const torch::nn::Module& model) {
  at::NoGradGuard no_grad;
  const comm::Group group = context.data_group();
  for (const nn::Parameter& parameter : parameters) comm::broadcast(parameter.tensor, group);
  for (const at::Tensor& buffer : model.buffers()) comm::broadcast(buffer, group);
}

}  // namespace

Prepared prepare(const Context& context, std::shared_ptr<torch::nn::Module> model,
                 const optim::OptimizerOptions& optimizer, std::shared_ptr<const data::Dataset> dataset,
                 const InitializeOptions& options) {
  const bool low = options.precision == at::kBFloat16 || options.precision == at::kHalf;
  model->to(context.device());
  if (!low) model->to(options.precision);
  std::vector<nn::Parameter> parameters = nn::parameters(*model, context.mesh);
  share_initial_weights(context, parameters, *model);

  const data::BatchSplit split{.global_batch_size = options.global_batch_size,
                               .microbatch_size = options.microbatch_size.value_or(
                                   std::max<int64_t>(1, options.global_batch_size / context.data_size())),
                               .data_rank = context.data_index(),
                               .data_size = context.data_size()};
  data::Loader loader(
      std::move(dataset),
      {.split = split, .seed = options.seed, .shuffle = options.shuffle, .pass = options.pass});
  EngineOptions engine_options{.accumulation = split.accumulation(),
                               .loss_scope = options.loss_scope,
                               .clip_norm = options.clip_norm,
                               .on_nonfinite = options.on_nonfinite,
                               .schedule = options.schedule,
                               .state = options.state};
  if (options.precision == at::kHalf) engine_options.loss_scale.emplace();
  Engine engine(context, std::move(model),
                optim::make_optimizer(optimizer, std::move(parameters), context.mesh),
                std::move(engine_options));
  return {std::move(engine), std::move(loader), low ? std::optional(options.precision) : std::nullopt};
}

}  // namespace colossal::train
