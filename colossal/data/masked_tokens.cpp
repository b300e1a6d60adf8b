// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/masked_tokens.h"

#include "colossal/base/error.h"
#include "colossal/data/draws.h"

namespace colossal::data {
namespace {

// Of the chosen tokens the rest stays what it is.
constexpr double kBecomesMask = 0.8, kBecomesRandom = 0.1;

int64_t length_of(const Dataset& stretches) {
  const int64_t first = 0;
  return stretches.fetch({&first, 1}, 0).inputs.at("input_ids").size(1);
}

// Where B begins in its stretch, and of which sample that is.
struct Pair {
  int64_t border = 0;
  int64_t second = 0;
};

Pair draw_pair(uint64_t seed, int64_t position, int64_t sample, int64_t length, int64_t num_samples) {
  Draws draws("sentence pair", seed, position, 3);
  Pair pair{.border = 1 + draws.below(length - 1), .second = sample};
  if (draws.next() < 0.5) return pair;
  pair.second = draws.below(num_samples - 1);  // any other
  if (pair.second >= sample) ++pair.second;
  return pair;
}

void mask(const MaskingOptions& options, int64_t position, std::span<int64_t> ids, int64_t* labels) {
  Draws draws("masked tokens", options.seed, position, 2 * static_cast<int64_t>(ids.size()));
  const auto& [begin, separator, hidden] = options.tokens;
  for (int64_t& id : ids) {
    int64_t& label = *labels++;
    const bool chosen = draws.next() < options.probability;
    const double fate = draws.next();
    if (!chosen || id == begin || id == separator || id == options.end_of_text) continue;
    label = id;
    if (fate < kBecomesMask) {
      id = hidden;
    } else if (fate < kBecomesMask + kBecomesRandom) {
      id = static_cast<int64_t>((fate - kBecomesMask) / kBecomesRandom *
                                static_cast<double>(options.num_words));
      id = std::min(id, options.num_words - 1);
    }
  }
}

}  // namespace

MaskedTokens::MaskedTokens(std::shared_ptr<const Dataset> stretches, const MaskingOptions& options)
    : stretches_(std::move(stretches)), options_(options), length_(length_of(*stretches_)) {
  if (!options.next_sentence || (length_ > 1 && size() > 1)) return;
  throw ConfigError(fmt::format(
      "data.sequence_length = {}: the data makes {} sequence{} with {} token{} of text. Pairs of sentences "
      "need 2 or more of both: "
      "use more text, another data.sequence_length, or model.next_sentence = false.",
      length_ + num_special(true), size(), size() == 1 ? "" : "s", length_, length_ == 1 ? "" : "s"));
}

Batch MaskedTokens::fetch(std::span<const int64_t> samples, int64_t position) const {
  const auto rows = static_cast<int64_t>(samples.size());
  const bool pairs = options_.next_sentence;
  std::vector<int64_t> stretches(samples.begin(), samples.end()), borders(samples.size(), length_);
  for (int64_t row = 0; pairs && row < rows; ++row) {
    const Pair pair = draw_pair(options_.seed, position + row, samples[row], length_, size());
    stretches.push_back(pair.second);
    borders[row] = pair.border;
  }
  const at::Tensor text = stretches_->fetch(stretches, 0).inputs.at("input_ids");
  const int64_t width = length_ + num_special(pairs);
  const at::Tensor ids = at::empty({rows, width}, at::kLong), types = at::zeros({rows, width}, at::kLong),
                   labels = at::full({rows, width}, kIgnoredLabel, at::kLong),
                   strange = at::zeros({rows}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t border = borders[row];
    int64_t* const begin = ids.mutable_data_ptr<int64_t>() + row * width;
    const int64_t* const a = text.const_data_ptr<int64_t>() + row * length_;
    *begin = options_.tokens.begin;
    int64_t* out = std::copy(a, a + border, begin + 1);
    *out++ = options_.tokens.separator;
    if (pairs) {
      const int64_t* const b = a + rows * length_;
      out = std::copy(b + border, b + length_, out);
      *out++ = options_.tokens.separator;
      types[row].slice(0, border + 2).fill_(1);
      if (stretches[rows + row] != samples[row]) strange[row] = 1;
    }
    mask(options_, position + row, {begin, out}, labels.mutable_data_ptr<int64_t>() + row * width);
  }
  Batch batch{.inputs = {{"input_ids", ids}, {"labels", labels}}};
  if (pairs) {
    batch.inputs["token_type_ids"] = types;
    batch.inputs["next_sentence_label"] = strange;
  }
  return batch;
}

}  // namespace colossal::data
