// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/dataset.h"

#include <fmt/ranges.h>

#include "colossal/base/error.h"
#include "colossal/data/permutation.h"

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

Batch SyntheticTokens::fetch(std::span<const int64_t> samples) const {
  const int64_t rows = static_cast<int64_t>(samples.size());
  Batch batch{.input = at::empty({rows, sequence_length_}, at::kLong),
              .label = at::empty({rows, sequence_length_}, at::kLong)};
  int64_t* input = batch.input.mutable_data_ptr<int64_t>();
  int64_t* label = batch.label.mutable_data_ptr<int64_t>();
  for (const int64_t sample : samples) {
    const uint64_t key = random_key(seed_, {static_cast<uint64_t>(sample)});
    const auto token = [&](int64_t place) {
      // High word of the 128-bit product: uniform over the vocabulary up to 2^-64.
      return static_cast<int64_t>((static_cast<unsigned __int128>(mix64(key ^ static_cast<uint64_t>(place))) *
                                   static_cast<uint64_t>(vocab_size_)) >>
                                  64);
    };
    for (int64_t place = 0; place <= sequence_length_; ++place) {
      const int64_t value = token(place);
      if (place < sequence_length_) input[place] = value;
      if (place > 0) label[place - 1] = value;
    }
    input += sequence_length_;
    label += sequence_length_;
  }
  return batch;
}

}  // namespace colossal::data
