// SPDX-License-Identifier: Apache-2.0
// Mean loss per target over a held-out dataset.
//
//   Evaluation result = evaluate(model, dataset, {.global_batch_size = 16, .microbatch_size = 8}, context);
//
// Thread safety: one rank, one thread; collective over the data-parallel ranks.
#pragma once
#include <memory>

#include "colossal/data/loader.h"
#include "colossal/models/language_model.h"
#include "colossal/train/context.h"

namespace colossal::train {

struct EvaluateOptions {
  int64_t global_batch_size = 1;  // sequences
  int64_t microbatch_size = 1;
  int64_t max_batches = 0;  // global batches; 0: all of the dataset
};

struct Evaluation {
  double loss = 0;  // mean of -log p over all targets, natural logarithm
  int64_t num_targets = 0;
};

// The first `max_batches` global batches in the dataset's own order: the same sequences every time and in every layout. Dropout is off.
Evaluation evaluate(models::LanguageModel& model, std::shared_ptr<const data::Dataset> dataset,
                    const EvaluateOptions& options, const Context& context);

}  // namespace colossal::train
