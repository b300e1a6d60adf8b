// SPDX-License-Identifier: Apache-2.0
// Loss and accuracy over a held-out dataset.
//
//   Evaluation result = evaluate(model, dataset, {.global_batch_size = 16, .microbatch_size = 8}, context);
//   double accuracy = result.labels.at("labels").accuracy;
//
// Thread safety: one rank, one thread; collective over the data-parallel ranks.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "colossal/data/loader.h"
#include "colossal/models/model.h"
#include "colossal/train/context.h"

namespace colossal::train {

struct EvaluateOptions {
  int64_t global_batch_size = 1;  // samples
  int64_t microbatch_size = 1;
  int64_t max_batches = 0;  // global batches; 0: all of the dataset
};

// Of one kind of labels; all 0 where there is no target.
struct LabelScore {
  double loss = 0;      // mean of -log p over the targets, natural logarithm
  double accuracy = 0;  // share of the targets than which no other class scores higher
  int64_t num_targets = 0;
};

struct Evaluation {
  double loss = 0;                                // the sum of those of all kinds of labels, as in training
  std::map<std::string, LabelScore> labels = {};  // by their name
};

// The first `max_batches` global batches in the dataset's own order: the same samples every time and in every layout, with the same masks.
// Dropout is off.
Evaluation evaluate(models::Model& model, std::shared_ptr<const data::Dataset> dataset,
                    const EvaluateOptions& options, const Context& context);

// Targets of each kind of labels in `batches`, summed over the data-parallel ranks; at least 1.
models::TargetCounts count_global_targets(const std::vector<data::Batch>& batches, const Context& context);

}  // namespace colossal::train
