// SPDX-License-Identifier: Apache-2.0
// The keys of each section of a run configuration. Internal to train/config.
#pragma once
#include "colossal/base/config/review.h"
#include "colossal/base/config/schema.h"
#include "colossal/train/config.h"

namespace colossal::train {

void describe_run(config::Section<RunSection>&);
void describe_model(config::Section<ModelSection>&);
void describe_data(config::Section<DataSection>&);
void describe_train(config::Section<TrainSection>&);
void describe_optimizer(config::Section<OptimizerSection>&);
void describe_schedule(config::Section<ScheduleSection>&);
void describe_parallel(config::Section<ParallelSection>&);
void describe_checkpoint(config::Section<CheckpointSection>&);
void describe_comm(config::Section<CommSection>&);

// All sections; made once, immutable.
const config::Schema& run_schema();

// A preset says the family where the file does not. Before Review::check_conditions, which asks for the
// family.
void infer_family(RunConfig& c, config::Review& review);

// What a resolved run file says, as a checkpoint keeps it; keys that this version does not know are passed over.
RunConfig read_resolved(const std::string& toml, const std::string& name);

// Fill what was left open, then check the rules between keys of these sections.
void resolve_model(RunConfig& c, config::Review& review);
void resolve_batch(RunConfig& c, config::Review& review);
void resolve_parallel(ParallelSection& p, config::Review& review, int64_t world_size);
void check_tensor_parallel(const RunConfig& c, config::Review& review);
void resolve_train(RunConfig& c, config::Review& review);
void resolve_optimizer(RunConfig& c, config::Review& review);
void check_files(const RunConfig& c, config::Review& review);

// Whether somebody gave this key with --set; keys of the file stand on a line.
bool is_on_command_line(const config::Review& review, const std::string& key);

// Why `parallel.tensor=2d` is no table, with what to write instead; empty for any other change.
std::string tensor_as_text(const config::Override& change, int64_t world_size);

// Up to six divisors of `n`, those nearest to `wanted`, ascending: "1, 2, 3, 4, 6, 8".
std::string divisors_near(int64_t n, int64_t wanted);

// The same among others: "for example 25, 40, 50, 100, 125, 200" where there are more.
std::string divisors_of(int64_t n, int64_t wanted);

// The multiples of `unit` around `value`: "8 or 16", or "8" when there is none below.
std::string multiples_near(int64_t value, int64_t unit);

}  // namespace colossal::train
