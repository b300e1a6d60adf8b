// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/dataset.h"

#include <fmt/ranges.h>

#include "colossal/base/error.h"
#include "colossal/tensor/random.h"

namespace colossal::data {

TensorDataset::TensorDataset(at::Tensor input, at::Tensor label)
    : input_(std::move(input)), label_(std::move(label)) {
  if (!input_.defined() || !label_.defined() || input_.dim() < 1 || label_.dim() < 1 ||
      input_.size(0) != label_.size(0)) {
    const auto shape = [](const at::Tensor& t) {
      return t.defined() ? fmt::format("[{}]", fmt::join(t.sizes(), ",")) : "none";
    };
    throw ShapeError(
        fmt::format("TensorDataset: input {} and label {} hold different numbers of samples. Allowed: equal "
                    "sizes along dim 0.",
                    shape(input_), shape(label_)));
  }
}

Batch TensorDataset::fetch(std::span<const int64_t> samples) const {
  const at::Tensor index =
      at::tensor(at::IntArrayRef(samples.data(), samples.size()), at::kLong).to(input_.device());
  return {.input = input_.index_select(0, index), .label = label_.index_select(0, index.to(label_.device()))};
}

SyntheticTokens::SyntheticTokens(int64_t num_samples, int64_t sequence_length, int64_t vocab_size,
                                 uint64_t seed)
    : num_samples_(num_samples), sequence_length_(sequence_length), vocab_size_(vocab_size), seed_(seed) {
  if (num_samples < 1 || sequence_length < 1 || vocab_size < 1) {
    throw ConfigError(
        fmt::format("synthetic data: {} sequences of {} tokens, vocabulary {}. Allowed: all 1 or more.",
                    num_samples, sequence_length, vocab_size));
  }
}

// One row per sample of a random tensor [samples, length + 1] that as a whole is never formed.
Batch SyntheticTokens::fetch(std::span<const int64_t> samples) const {
  const auto key = tensor::RandomKey(seed_).named("synthetic tokens");
  const int64_t width = sequence_length_ + 1;
  std::vector<at::Tensor> rows;
  for (const int64_t sample : samples) {
    rows.push_back(tensor::random_ints(key, {num_samples_, width},
                                       {.offset = {sample, 0}, .size = {1, width}}, 0, vocab_size_));
  }
  const at::Tensor tokens = at::cat(rows);
  return {.input = tokens.narrow(1, 0, sequence_length_).contiguous(),
          .label = tokens.narrow(1, 1, sequence_length_).contiguous()};
}

}  // namespace colossal::data
