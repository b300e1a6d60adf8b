// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/outline.h"

#include "colossal/models/family.h"
#include "colossal/train/build.h"
#include "colossal/train/config/components.h"

namespace colossal::train {

int64_t Outline::numel() const {
  int64_t total = 0;
  for (const nn::Parameter& p : parameters) total += p.layout().numel();
  return total;
}

int64_t Outline::local_numel() const {
  int64_t total = 0;
  for (const nn::Parameter& p : parameters) total += p.layout().local_numel();
  return total;
}

namespace {

models::ModelConfig model_of(const RunConfig& config) {
  const data::DataSizes open = config.model.load ? data::DataSizes() : data::data_sizes(data_options(config));
  return models::complete(architecture(config, open));
}

comm::Mesh mesh_of(const RunConfig& config) {
  const comm::MeshShape shape(mesh_axes(config.parallel));
  return {comm::World::fake(0, shape.size(), at::kMeta), shape};
}

std::vector<nn::Parameter> parameters_of(const RunConfig& config, const models::ModelConfig& model,
                                         const comm::Mesh& mesh) {
  const auto make = make_factory(config.parallel, mesh, std::make_shared<nn::StepState>(),
                                 {.compute = scalar_type(config.train.precision), .device = at::kMeta});
  return nn::parameters(*models::build(model, *make), mesh);
}

}  // namespace

Outline outline_of(const RunConfig& config) {
  const models::ModelConfig model = model_of(config);
  const comm::Mesh mesh = mesh_of(config);
  return {model, mesh.shape(), parameters_of(config, model, mesh)};
}

HeldBytes held_bytes(const RunConfig& config) {
  models::ModelConfig model = model_of(config);
  const comm::Mesh mesh = mesh_of(config);
  HeldBytes held{.num_blocks = model.num_layers};
  const auto bytes = [&](int64_t num_blocks) {
    model.num_layers = num_blocks;
    const std::vector<nn::Parameter> parameters = parameters_of(config, model, mesh);
    const auto optimizer = optim::make_optimizer(optimizer_options(config.optimizer), parameters, mesh);
    size_t total = 0;
    for (const nn::Parameter& p : parameters) total += 2 * p.tensor.nbytes();
    for (const optim::StateTensor& s : optimizer->state()) total += s.local.nbytes();
    return static_cast<int64_t>(total);
  };
  const int64_t one = bytes(1);
  held.block = bytes(2) - one;
  held.outside = one - held.block;
  return held;
}

}  // namespace colossal::train
