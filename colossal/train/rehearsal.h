// SPDX-License-Identifier: Apache-2.0
// One training step of a model, counted on one rank: what it holds, the most it needs at once, and what it sends. On meta tensors, in a world
// where nobody else exists, this is what a rank of any run would need, known before one is started; nothing is stored or computed.
//
//   auto world = comm::World::fake(0, 64, at::kMeta);
//   StepCost cost = rehearse(world, {.model = models::preset("gpt3-175b"), .tensor = how, .batch_size = 64});
//   fmt::print("{} of memory\n", human_bytes(cost.peak_bytes));
//
// Thread safety: one rank, one thread; counts are those of the whole process. Collective in a world of several ranks.
#pragma once
#include <memory>

#include "colossal/base/json.h"
#include "colossal/comm/world.h"
#include "colossal/models/model_config.h"
#include "colossal/optim/optimizer.h"
#include "colossal/parallel/tensor/tensor_factory.h"

namespace colossal::train {

struct Rehearsal {
  models::ModelConfig model = {};
  parallel::TensorParallel tensor = {};  // of all ranks of the world; none: one rank
  parallel::Keep keep = parallel::Keep::shards;
  int64_t batch_size = 1;
  int64_t sequence_length = 0;          // families of text; 0: model.max_positions
  double mask_probability = 0.15;       // families that fill in: share of the tokens that are targets
  at::ScalarType compute = at::kFloat;  // as nn::FactoryOptions
  optim::OptimizerOptions optimizer = {};
  int64_t num_steps =
      1;  // that are counted, after a first one that makes optimizer state and casts of weights
};

// Of this rank, in bytes of tensors on the world's device, allocator rounding and scratch memory of kernels left out.
struct StepCost {
  int64_t input_bytes = 0;       // the batch: every rank of a tensor mode gets all of it
  int64_t parameter_bytes = 0;   // weights
  int64_t state_bytes = 0;       // held between steps: weights, their casts, moments
  int64_t activation_bytes = 0;  // kept between forward and backward, gradients that the loss forms included
  int64_t peak_bytes = 0;        // the most at any moment of a step, all of the above included
  int64_t bytes_sent = 0;        // per step
  int64_t num_messages = 0;      // collectives per step
  double seconds = 0;            // per step, the least of num_steps
};
Json to_json(const StepCost& cost);

// The step is the engine's: forward, backward with its reductions, gradient norm, optimizer. Of masked tokens there are as many as a run has
// on average; a run draws anew for every step, and its peak is that of the batch with the most. ConfigError and ShapeError for sizes that the
// mode cannot share.
StepCost rehearse(const std::shared_ptr<comm::World>& world, const Rehearsal& rehearsal);

}  // namespace colossal::train
