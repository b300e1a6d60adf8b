// SPDX-License-Identifier: Apache-2.0
// A resolved run configuration in the words of the components that it configures.
//
//   auto optimizer = optim::make_optimizer(optimizer_options(config.optimizer), parameters, mesh);
//   auto schedule = optim::make_schedule(schedule_options(config));
//
// Thread-safe: pure functions.
#pragma once
#include "colossal/comm/world.h"
#include "colossal/data/open_data.h"
#include "colossal/models/model_config.h"
#include "colossal/optim/loss_scaler.h"
#include "colossal/optim/optimizer.h"
#include "colossal/optim/schedule.h"
#include "colossal/train/config.h"

namespace colossal::train {

// `open` stands in for what [model] does not say and the data does. Sizes that stay open are 0.
models::ModelConfig model_config(const ModelSection& model, const data::DataSizes& open);

optim::OptimizerOptions optimizer_options(const OptimizerSection& optimizer);
optim::ScheduleOptions schedule_options(const RunConfig& config);
optim::LossScaleOptions loss_scale_options(const TrainSection& train);
data::DataOptions data_options(const RunConfig& config);
comm::BackendKind backend_kind(const CommSection& comm);
at::ScalarType scalar_type(Precision precision);  // of forward and backward

}  // namespace colossal::train
