// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/evaluate.h"

#include "colossal/comm/collectives.h"

namespace colossal::train {
namespace {

// No dropout for its lifetime.
class EvaluationScope {
 public:
  explicit EvaluationScope(nn::StepState& state)
      : state_(state), was_training_(std::exchange(state.training, false)) {}
  ~EvaluationScope() { state_.training = was_training_; }
  EvaluationScope(const EvaluationScope&) = delete;
  EvaluationScope& operator=(const EvaluationScope&) = delete;

 private:
  nn::StepState& state_;
  bool was_training_;
};

}  // namespace

Evaluation evaluate(models::LanguageModel& model, std::shared_ptr<const data::Dataset> dataset,
                    const EvaluateOptions& options, const Context& context) {
  at::NoGradGuard no_grad;
  const EvaluationScope scope(model.state());
  data::Loader loader(std::move(dataset), {.split = {.global_batch_size = options.global_batch_size,
                                                     .microbatch_size = options.microbatch_size,
                                                     .data_rank = context.data_index(),
                                                     .data_size = context.data_size()},
                                           .shuffle = data::Shuffle::no,
                                           .pass = data::Pass::once});
  at::Tensor sums = at::zeros({2}, at::dtype(at::kDouble).device(context.device()));
  for (int64_t batch_index = 0; options.max_batches == 0 || batch_index < options.max_batches;
       ++batch_index) {
    const std::vector<data::Batch> batches = loader.next_step();
    if (batches.empty()) break;
    for (const data::Batch& batch : batches) {
      const at::Tensor label = batch.label.to(context.device());
      sums[0] += model.loss(batch.input.to(context.device()), label, 1.0).to(at::kDouble);
      sums[1] += label.ne(data::kIgnoredLabel).sum().to(at::kDouble);
    }
  }
  comm::all_reduce(sums, context.data_group());
  sums = sums.cpu();
  const double targets = sums[1].item<double>();
  return {.loss = targets > 0 ? sums[0].item<double>() / targets : 0,
          .num_targets = static_cast<int64_t>(targets)};
}

}  // namespace colossal::train
