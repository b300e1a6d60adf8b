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

Outline outline_of(const RunConfig& config) {
  const data::DataSizes open = config.model.load ? data::DataSizes() : data::data_sizes(data_options(config));
  const models::ModelConfig model = models::complete(architecture(config, open));
  const comm::MeshShape shape(mesh_axes(config.parallel));
  const comm::Mesh mesh(comm::World::fake(0, shape.size(), at::kMeta), shape);
  const auto make = make_factory(config.parallel, mesh, std::make_shared<nn::StepState>(),
                                 {.compute = scalar_type(config.train.precision), .device = at::kMeta});
  return {model, shape, nn::parameters(*models::build(model, *make), mesh)};
}

}  // namespace colossal::train
