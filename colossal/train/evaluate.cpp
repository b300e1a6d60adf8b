// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/evaluate.h"

#include "colossal/comm/collectives.h"

namespace colossal::train {
Evaluation evaluate(models::Model& model, std::shared_ptr<const data::Dataset> dataset,
                    const EvaluateOptions& options, const Context& context) {
  at::NoGradGuard no_grad;
  const nn::EvaluationScope scope(model.state());
  data::Loader loader(std::move(dataset), {.split = {.global_batch_size = options.global_batch_size,
                                                     .microbatch_size = options.microbatch_size,
                                                     .data_rank = context.data_index(),
                                                     .data_size = context.data_size()},
                                           .shuffle = data::Shuffle::no,
                                           .pass = data::Pass::once});
  std::map<std::string, at::Tensor> sums;  // by label: log p, right ones, targets
  for (int64_t batch_index = 0; options.max_batches == 0 || batch_index < options.max_batches;
       ++batch_index) {
    const std::vector<data::Batch> batches = loader.next_step();
    if (batches.empty()) break;
    for (const data::Batch& batch : batches) {
      const models::TargetCounts counts = models::count_targets(batch.inputs);
      for (const auto& [name, score] : model.scores(models::moved_to(batch.inputs, context.device()))) {
        const at::Tensor count = at::scalar_tensor(counts.at(name), score.right.options());
        const at::Tensor own = at::stack({score.log_prob, score.right, count});
        at::Tensor& sum = sums[name];
        sum = sum.defined() ? sum + own : own;
      }
    }
  }
  Evaluation result;
  for (auto& [name, sum] : sums) {
    comm::all_reduce(sum, context.data_group());
    sum = sum.cpu();
    const double targets = sum[2].item<double>(), divisor = std::max(1.0, targets);
    result.labels[name] = {.loss = -sum[0].item<double>() / divisor,
                           .accuracy = sum[1].item<double>() / divisor,
                           .num_targets = static_cast<int64_t>(targets)};
    result.loss += result.labels[name].loss;
  }
  return result;
}

models::TargetCounts count_global_targets(const std::vector<data::Batch>& batches, const Context& context) {
  models::TargetCounts total;
  for (const data::Batch& batch : batches) {
    for (const auto& [name, count] : models::count_targets(batch.inputs)) total[name] += count;
  }
  std::vector<double> counts;
  for (const auto& [name, count] : total) counts.push_back(count);
  at::Tensor sums = at::tensor(counts, at::kDouble).to(context.device());
  comm::all_reduce(sums, context.data_group());
  sums = sums.cpu();
  const double* sum = sums.const_data_ptr<double>();
  for (auto& [name, count] : total) count = std::max(1.0, *sum++);
  return total;
}

}  // namespace colossal::train
