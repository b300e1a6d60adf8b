// SPDX-License-Identifier: Apache-2.0
#include "colossal/models/sampling.h"

#include <limits>

#include "colossal/base/error.h"

namespace colossal::models {
namespace {

constexpr double kRemoved = -std::numeric_limits<double>::infinity();

// `remove` is in sorted order; `order` says where each column came from.
at::Tensor remove_sorted(const at::Tensor& logits, const at::Tensor& remove, const at::Tensor& order) {
  return logits.masked_fill(at::zeros_like(remove).scatter(-1, order, remove), kRemoved);
}

}  // namespace

void check(const SamplingOptions& o) {
  std::vector<std::string> problems;
  const auto require = [&](bool holds, const char* key, double value, const char* allowed) {
    if (!holds) problems.push_back(fmt::format("{} = {}. Allowed: {}.", key, value, allowed));
  };
  require(o.temperature >= 0, "temperature", o.temperature, "0 (greedy) or above");
  require(o.top_k >= 0, "top_k", static_cast<double>(o.top_k), "0 (off) or above");
  require(o.top_p > 0 && o.top_p <= 1, "top_p", o.top_p, "above 0, up to 1 (off)");
  require(o.min_p >= 0 && o.min_p <= 1, "min_p", o.min_p, "0 (off) to 1");
  require(o.typical_p > 0 && o.typical_p <= 1, "typical_p", o.typical_p, "above 0, up to 1 (off)");
  require(o.repetition_penalty > 0, "repetition_penalty", o.repetition_penalty, "above 0, 1 is off");
  require(o.no_repeat_ngram >= 0, "no_repeat_ngram", static_cast<double>(o.no_repeat_ngram),
          "0 (off) or above");
  if (!problems.empty()) throw ConfigError(problems);
}

namespace filters {

at::Tensor temperature(const at::Tensor& logits, double t) { return logits / t; }

at::Tensor top_k(const at::Tensor& logits, int64_t k) {
  const int64_t kept = std::min(k, logits.size(-1));
  const at::Tensor smallest = std::get<0>(logits.topk(kept, -1)).narrow(-1, kept - 1, 1);
  return logits.masked_fill(logits < smallest, kRemoved);
}

at::Tensor top_p(const at::Tensor& logits, double p) {
  const auto [sorted, order] = logits.sort(-1, /*descending=*/false);
  at::Tensor remove = sorted.softmax(-1).cumsum(-1) <= 1 - p;
  remove.narrow(-1, logits.size(-1) - 1, 1).fill_(false);
  return remove_sorted(logits, remove, order);
}

at::Tensor min_p(const at::Tensor& logits, double p) {
  const at::Tensor probabilities = logits.softmax(-1);
  return logits.masked_fill(probabilities < p * probabilities.amax(-1, true), kRemoved);
}

at::Tensor typical_p(const at::Tensor& logits, double mass) {
  const at::Tensor logp = logits.log_softmax(-1);
  const at::Tensor entropy = -(logp * logp.exp()).nansum(-1, true);
  const auto [distance, order] = (-logp - entropy).abs().sort(-1, /*descending=*/false);
  const at::Tensor cumulative = logits.gather(-1, order).softmax(-1).cumsum(-1);
  const at::Tensor last = (cumulative < mass).sum(-1, true).clamp_max(logits.size(-1) - 1);
  at::Tensor remove = distance > distance.gather(-1, last);
  remove.narrow(-1, 0, 1).fill_(false);
  return remove_sorted(logits, remove, order);
}

at::Tensor repetition_penalty(const at::Tensor& logits, const at::Tensor& ids, double penalty) {
  const at::Tensor seen = logits.gather(-1, ids);
  return logits.scatter(-1, ids, at::where(seen < 0, seen * penalty, seen / penalty));
}

at::Tensor no_repeat_ngram(const at::Tensor& logits, const at::Tensor& ids, int64_t n) {
  const at::Tensor host = ids.to(at::kCPU, at::kLong).contiguous();
  const int64_t length = host.size(1);
  at::Tensor banned = at::zeros(logits.sizes(), at::kBool);
  bool* marks = banned.data_ptr<bool>();
  for (int64_t row = 0; row < host.size(0) && length >= n; ++row) {
    const int64_t* tokens = host.const_data_ptr<int64_t>() + row * length;
    const int64_t* tail = tokens + length - (n - 1);  // what the next token would complete
    for (int64_t i = 0; i + n <= length; ++i) {
      if (std::equal(tail, tokens + length, tokens + i))
        marks[row * logits.size(1) + tokens[i + n - 1]] = true;
    }
  }
  return logits.masked_fill(banned.to(logits.device()), kRemoved);
}

}  // namespace filters

at::Tensor filtered(const at::Tensor& logits, const at::Tensor& ids, const SamplingOptions& o) {
  at::Tensor x = logits;
  if (o.repetition_penalty != 1) x = filters::repetition_penalty(x, ids, o.repetition_penalty);
  if (o.no_repeat_ngram > 0) x = filters::no_repeat_ngram(x, ids, o.no_repeat_ngram);
  if (o.temperature != 1) x = filters::temperature(x, o.temperature);
  if (o.top_k > 0) x = filters::top_k(x, o.top_k);
  if (o.top_p < 1) x = filters::top_p(x, o.top_p);
  if (o.min_p > 0) x = filters::min_p(x, o.min_p);
  if (o.typical_p < 1) x = filters::typical_p(x, o.typical_p);
  return x;
}

at::Tensor sample(const at::Tensor& logits, const tensor::RandomKey& key) {
  const int64_t rows = logits.size(0);
  const at::Tensor cumulative = logits.to(at::kCPU, at::kDouble).softmax(-1).cumsum(-1);
  const at::Tensor total = cumulative.narrow(-1, cumulative.size(-1) - 1, 1);
  const at::Tensor u = tensor::uniform(key, {rows, 1}, {{0, 0}, {rows, 1}}, 0, 1, at::kDouble);
  // The first token whose cumulative mass exceeds u, but never beyond the last one of any mass.
  const at::Tensor last = (cumulative < total).sum(-1);
  return at::minimum((cumulative <= u * total).sum(-1), last).to(logits.device());
}

}  // namespace colossal::models
