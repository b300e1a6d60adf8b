// SPDX-License-Identifier: Apache-2.0
// From logits to the next token: filters, then a draw that depends on (seed, position, row) only.
//
//   at::Tensor kept = filtered(logits, ids, {.temperature = 0.8, .top_k = 40});     // -inf where removed
//   at::Tensor next = sample(kept, tensor::RandomKey(seed).at_step(position));      // int64 [rows]
//
// All take and return [rows, vocabulary] in fp32 or fp64; rows are independent. Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/tensor/random.h"

namespace colossal::models {

struct SamplingOptions {
  double temperature = 1;         // 0: greedy, nothing else matters
  int64_t top_k = 0;              // 0: off
  double top_p = 1;               // 1: off
  double min_p = 0;               // 0: off
  double typical_p = 1;           // 1: off
  double repetition_penalty = 1;  // 1: off
  int64_t no_repeat_ngram = 0;    // 0: off
};

// ConfigError with all values that are out of range.
void check(const SamplingOptions& options);

namespace filters {

at::Tensor temperature(const at::Tensor& logits, double t);  // logits / t
at::Tensor top_k(const at::Tensor& logits, int64_t k);       // the k largest, ties with the k-th kept
at::Tensor top_p(const at::Tensor& logits,
                 double p);  // smallest set of likeliest tokens of mass >= p (arXiv 1904.09751)
at::Tensor min_p(const at::Tensor& logits,
                 double p);  // probability >= p times the largest (arXiv 2407.01082)
at::Tensor typical_p(const at::Tensor& logits,
                     double mass);  // nearest to the entropy, of mass >= `mass` (arXiv 2202.00666)
// Tokens of ids [rows, length] get logit / penalty where positive, logit * penalty where negative (arXiv 1909.05858).
at::Tensor repetition_penalty(const at::Tensor& logits, const at::Tensor& ids, double penalty);
// Tokens that would repeat an n-gram of ids are removed.
at::Tensor no_repeat_ngram(const at::Tensor& logits, const at::Tensor& ids, int64_t n);

}  // namespace filters

// Those that are on, in this order: repetition_penalty, no_repeat_ngram, temperature, top_k, top_p, min_p, typical_p.
at::Tensor filtered(const at::Tensor& logits, const at::Tensor& ids, const SamplingOptions& options);

// One token per row with probability softmax(logits), by inverting the distribution function at one uniform number per row.
at::Tensor sample(const at::Tensor& logits, const tensor::RandomKey& key);

}  // namespace colossal::models
