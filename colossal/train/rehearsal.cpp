// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/rehearsal.h"

#include <chrono>
#include <limits>

#include "colossal/base/error.h"
#include "colossal/models/family.h"
#include "colossal/tensor/allocator.h"
#include "colossal/tensor/meta.h"
#include "colossal/train/engine.h"

namespace colossal::train {
namespace {

std::unique_ptr<nn::LayerFactory> factory_for(const Rehearsal& r, const comm::Mesh& mesh,
                                              std::shared_ptr<nn::StepState> state) {
  return parallel::make_factory(mesh, std::move(state), r.tensor.mode,
                                {.compute = r.compute, .device = mesh.world().device()}, {r.keep});
}

// Which tokens a model that fills in is asked for: a share of them, evenly spread over rows and columns (multiples of the golden ratio, whose
// fractions fill the unit interval evenly), so that every part of a batch has its share to within a few. bool, on the CPU.
at::Tensor masked_tokens(int64_t rows, int64_t length, double share) {
  constexpr double kGolden = 0.6180339887498949;
  return (at::arange(rows * length, at::kDouble) * kGolden).frac().lt(share).view({rows, length});
}

// One value is as good as another: all that the model must be given, as the loader would.
models::Inputs batch_for(const models::ModelConfig& config, const Rehearsal& r, at::Device device,
                         nn::StepState& state) {
  using Kind = models::InputInfo::Kind;
  const bool masks = models::family(config.family).task == models::Task::masked_language;
  const int64_t length = r.sequence_length > 0 ? r.sequence_length : config.max_positions;
  const auto ids = at::device(device).dtype(at::kLong);
  models::Inputs batch;
  for (const models::InputInfo& info : models::inputs_of(config)) {
    const tensor::Shape of_tokens = {r.batch_size, length};
    switch (info.kind) {
      case Kind::tokens: batch[info.name] = at::zeros(of_tokens, ids); break;
      case Kind::labels:
        batch[info.name] = at::zeros(info.per_sequence ? tensor::Shape{r.batch_size} : of_tokens, ids);
        if (!masks || info.per_sequence) break;
        if (const at::Tensor targets = masked_tokens(r.batch_size, length, r.mask_probability);
            device.is_meta()) {
          state.targets = targets;
        } else {
          batch[info.name].masked_fill_(targets.logical_not().to(device), models::kIgnored);
        }
        break;
      case Kind::token_types:
        if (config.next_sentence) batch[info.name] = at::zeros(of_tokens, ids);
        break;
      case Kind::pixels: {
        const models::ImageConfig& image = config.image;
        batch[info.name] = at::ones({r.batch_size, image.channels, image.size, image.size},
                                    at::device(device).dtype(at::kFloat));
        break;
      }
      default: break;  // may be left out
    }
  }
  return batch;
}

models::TargetCounts every_label(const models::Inputs& batch) {
  models::TargetCounts counts;
  for (const auto& [name, tensor] : batch) {
    if (models::is_label(name)) counts[name] = static_cast<double>(tensor.numel());
  }
  return counts;
}

void check(const comm::World& world, const parallel::TensorParallel& tensor) {
  if (const std::string problem = parallel::problem(tensor); !problem.empty())
    throw ConfigError(fmt::format("rehearsal: {}.", problem));
  if (tensor.size == world.size()) return;
  throw ConfigError(fmt::format("rehearsal: a tensor mode of {} ranks in a world of {}. Allowed: as many.",
                                tensor.size, world.size()));
}

}  // namespace

Json to_json(const StepCost& c) {
  return {{"input_bytes", c.input_bytes},   {"parameter_bytes", c.parameter_bytes},
          {"state_bytes", c.state_bytes},   {"activation_bytes", c.activation_bytes},
          {"peak_bytes", c.peak_bytes},     {"bytes_sent", c.bytes_sent},
          {"num_messages", c.num_messages}, {"seconds", c.seconds}};
}

StepCost rehearse(const std::shared_ptr<comm::World>& world, const Rehearsal& r) {
  check(*world, r.tensor);
  const c10::DeviceType device = world->device().type();
  if (device == c10::DeviceType::Meta) {
    tensor::count_meta_memory();
  } else {
    tensor::install_caching_allocator();
  }
  const int64_t before = tensor::memory_stats(device).live_bytes;
  const auto live = [&] { return tensor::memory_stats(device).live_bytes - before; };
  StepCost cost;
  const Context context = launch_on(world, parallel::tensor_axes(r.tensor));
  auto state = std::make_shared<nn::StepState>(nn::StepState{.seed = 1, .global_rows = r.batch_size});
  const std::shared_ptr<models::Model> model = models::build(r.model, *factory_for(r, context.mesh, state));
  const std::vector<nn::Parameter> parameters = nn::parameters(*model, context.mesh);
  cost.parameter_bytes = live();
  nn::initialize(parameters, state->seed, context.rank());
  const models::Inputs batch = batch_for(model->config(), r, world->device(), *state);
  const models::TargetCounts counts = every_label(batch);
  for (const auto& [name, tensor] : batch) cost.input_bytes += static_cast<int64_t>(tensor.nbytes());
  Engine engine(
      context, model, optim::make_optimizer(r.optimizer, parameters, context.mesh),
      {.loss_scope = LossScope::global_sum, .schedule = {.learning_rate = 1e-4}, .state = state.get()});
  cost.seconds = std::numeric_limits<double>::infinity();
  for (int64_t i = 0; i <= r.num_steps; ++i) {
    engine.zero_grad();
    cost.state_bytes = live() - cost.input_bytes;
    const comm::Recorder::Total sent = world->recorder().total();
    tensor::reset_peak(device);
    const auto start = std::chrono::steady_clock::now();
    {
      const models::Losses losses = model->losses(batch, counts);
      cost.activation_bytes = live() - cost.input_bytes - cost.state_bytes;
      engine.backward(losses);
    }
    engine.step();
    if (i == 0) continue;
    cost.seconds = std::min(cost.seconds,
                            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    cost.peak_bytes = std::max(cost.peak_bytes, tensor::memory_stats(device).peak_bytes - before);
    cost.bytes_sent = world->recorder().total().bytes_sent - sent.bytes_sent;
    cost.num_messages = world->recorder().total().calls - sent.calls;
  }
  return cost;
}

}  // namespace colossal::train
