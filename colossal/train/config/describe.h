// SPDX-License-Identifier: Apache-2.0
// The keys of each section of a run configuration. Internal to train/config.
#pragma once
#include "colossal/base/config/review.h"
#include "colossal/base/config/schema.h"
#include "colossal/train/config.h"

namespace colossal::train {

void describe_run(config::Section<RunSection>& run);
void describe_model(config::Section<ModelSection>& model);
void describe_data(config::Section<DataSection>& data);
void describe_train(config::Section<TrainSection>& train);
void describe_optimizer(config::Section<OptimizerSection>& optimizer);
void describe_schedule(config::Section<ScheduleSection>& schedule);
void describe_parallel(config::Section<ParallelSection>& parallel);
void describe_checkpoint(config::Section<CheckpointSection>& checkpoint);
void describe_comm(config::Section<CommSection>& comm);

// All sections; made once, immutable.
const config::Schema& run_schema();

// A preset says the family where the file does not. Before Review::check_conditions, which asks for the
// family.
void infer_family(RunConfig& c, config::Review& review);

// Fill what was left open, then check the rules between keys of these sections.
void resolve_model(RunConfig& c, config::Review& review);
void resolve_batch(RunConfig& c, config::Review& review, int64_t world_size);
void resolve_train(RunConfig& c, config::Review& review);
void resolve_optimizer(RunConfig& c, config::Review& review);
void check_files(const RunConfig& c, config::Review& review);

}  // namespace colossal::train
