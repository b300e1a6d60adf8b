// SPDX-License-Identifier: Apache-2.0
// From the sections of a run file to the objects that they describe.
//
//   data::Datasets data = open_datasets(config, context);
//   auto model = build_model(config, context, data.sizes);
//   Engine engine = build_engine(config, context, model);
//
// All functions are collective. Thread safety: one rank, one thread.
#pragma once
#include <memory>
#include <string>

#include "colossal/base/json.h"
#include "colossal/data/loader.h"
#include "colossal/data/open_data.h"
#include "colossal/models/model.h"
#include "colossal/nn/standard_factory.h"
#include "colossal/train/config.h"
#include "colossal/train/engine.h"

namespace colossal::train {

// The axes of the mesh that [parallel] describes, outermost first.
std::vector<comm::Axis> mesh_axes(const ParallelSection& parallel);

// Layers in the tensor mode of [parallel], on a mesh of those axes.
std::unique_ptr<nn::LayerFactory> make_factory(const ParallelSection& parallel, const comm::Mesh& mesh,
                                               std::shared_ptr<nn::StepState> state,
                                               const nn::FactoryOptions& options);

// Tokenises on rank 0 what is not cached yet; the others wait and open the same files, or throw the same ConfigError.
data::Datasets open_datasets(const RunConfig& config, const Context& context);

// What the model is: as [model] says, or what model.load names. `open` counts where the run file leaves sizes to the data.
models::ModelConfig architecture(const RunConfig& config, const data::DataSizes& open);

// The model with its initial weights: drawn from run.seed, or loaded from model.load.
std::shared_ptr<models::Model> build_model(const RunConfig& config, const Context& context,
                                           const data::DataSizes& open);

Engine build_engine(const RunConfig& config, const Context& context,
                    const std::shared_ptr<models::Model>& model);

data::Loader build_loader(const RunConfig& config, const Context& context,
                          std::shared_ptr<const data::Dataset> dataset);

// The architecture as a checkpoint's manifest keeps it: the family and its config.json.
Json model_json(const models::ModelConfig& config);
models::ModelConfig model_config_from(const Json& json);

// ConfigError, with the place, where the run asks for a GPU or for NCCL and this machine or this build has no GPU.
at::Device device_of(const RunConfig& config);
// "gpt2 6 x 384, 6 heads, vocabulary 257: 10.8M parameters", "vit 6 x 64, 4 heads, 10 classes of 28 x 28 pixels in patches of 4: ..."
std::string model_summary(const models::ModelConfig& config);

}  // namespace colossal::train
