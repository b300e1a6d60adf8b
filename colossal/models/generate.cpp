// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/generate.h"

#include "colossal/base/error.h"

namespace colossal::models {
namespace {

at::Tensor next_token(const at::Tensor& logits, const at::Tensor& ids, const GenerateOptions& options) {
  if (options.sampling.temperature == 0) return logits.argmax(-1);
  const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
  const auto key =
      tensor::RandomKey(options.seed).named("generate").at_step(static_cast<uint64_t>(ids.size(1)));
  return sample(filtered(wide, ids, options.sampling), key);
}

}  // namespace

at::Tensor generate(LanguageModel& model, const at::Tensor& prompt, const GenerateOptions& options) {
  check(options.sampling);
  if (prompt.dim() != 2 || prompt.size(1) < 1) {
    throw ShapeError(
        fmt::format("generate: the prompt has {} dims. Allowed: int64 [rows, length >= 1].", prompt.dim()));
  }
  const int64_t total = prompt.size(1) + options.max_new_tokens;
  if (total > model.config().max_positions) {
    throw ConfigError(fmt::format(
        "generate: a prompt of {} and {} new tokens make {} positions. Allowed: model.max_positions = {}. "
        "Nearest: {} new tokens.",
        prompt.size(1), options.max_new_tokens, total, model.config().max_positions,
        std::max<int64_t>(0, model.config().max_positions - prompt.size(1))));
  }
  at::NoGradGuard no_grad;
  const nn::EvaluationScope scope(model.state());
  std::vector<nn::KeyValueCache> caches = model.make_caches(total);
  at::Tensor ids = prompt;
  at::Tensor input = prompt;
  at::Tensor stopped = at::zeros({prompt.size(0)}, prompt.options().dtype(at::kBool));
  for (int64_t i = 0; i < options.max_new_tokens; ++i) {
    const at::Tensor x = model.hidden(input, {.caches = &caches});
    const at::Tensor logits = model.head().last_logits(x);
    at::Tensor next = next_token(logits, ids, options);
    if (options.stop_token) {
      next = at::where(stopped, at::full_like(next, *options.stop_token), next);
      stopped = stopped.logical_or(next == *options.stop_token);
    }
    input = next.unsqueeze(1);
    ids = at::cat({ids, input}, 1);
    if (options.on_token) options.on_token(next);
    if (options.stop_token && stopped.all().item<bool>()) break;
  }
  return ids;
}

}  // namespace colossal::models
