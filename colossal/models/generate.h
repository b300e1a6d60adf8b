// SPDX-License-Identifier: Apache-2.0
// Text generation with a key-value cache: the prompt in one pass, then one token per pass.
//
//   at::Tensor ids = generate(*model, prompt, {.max_new_tokens = 64, .sampling = {.temperature = 0.8}, .seed = 1});
//
// Deterministic: the same on every rank of a replica and in every layout. Thread safety: one rank, one thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>

#include "colossal/models/language_model.h"
#include "colossal/models/sampling.h"

namespace colossal::models {

struct GenerateOptions {
  int64_t max_new_tokens = 64;
  SamplingOptions sampling = {.temperature = 0};  // greedy
  std::optional<int64_t> stop_token = {};  // a row that produced it repeats it; ends when all rows have
  uint64_t seed = 0;
  std::function<void(const at::Tensor&)> on_token = {};  // int64 [rows], after every step
};

// prompt: int64 [rows, length >= 1], all rows equally long -> [rows, length + n], n <= max_new_tokens. Dropout is off and no gradient is
// recorded. Throws ConfigError when prompt and new tokens exceed model.max_positions.
at::Tensor generate(LanguageModel& model, const at::Tensor& prompt, const GenerateOptions& options = {});

}  // namespace colossal::models
