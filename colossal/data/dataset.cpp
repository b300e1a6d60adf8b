// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/dataset.h"

#include <fmt/ranges.h>

#include <set>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/tensor/random.h"

namespace colossal::data {

namespace {

const at::Tensor& the_one(const Batch& batch, bool label) {
  const at::Tensor* found = nullptr;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : batch.inputs) {
    if (models::is_label(name) == label) found = &tensor, names.push_back(name);
  }
  if (names.size() == 1) return *found;
  const char* what = label ? "label" : "input";
  throw ShapeError(
      fmt::format("Batch::{}(): the batch has {} {}s ({}). Take them by name: batch.inputs.at(..).", what,
                  names.size(), what, join(names, ", ")));
}

}  // namespace

const at::Tensor& Batch::input() const { return the_one(*this, false); }
const at::Tensor& Batch::label() const { return the_one(*this, true); }

TensorDataset::TensorDataset(models::Inputs tensors) : tensors_(std::move(tensors)) {
  std::vector<std::string> shapes;
  std::set<int64_t> sizes;
  for (const auto& [name, tensor] : tensors_) {
    const bool has_samples = tensor.defined() && tensor.dim() > 0;
    shapes.push_back(name +
                     (tensor.defined() ? fmt::format(" [{}]", fmt::join(tensor.sizes(), ",")) : " none"));
    sizes.insert(has_samples ? tensor.size(0) : -1);
  }
  if (sizes.size() == 1 && *sizes.begin() >= 0) return;
  throw ShapeError(
      fmt::format("TensorDataset: {} hold different numbers of samples. Allowed: equal sizes along dim 0.",
                  join(shapes, ", ")));
}

Batch TensorDataset::fetch(std::span<const int64_t> samples, int64_t) const {
  const at::Tensor index = at::tensor(at::IntArrayRef(samples.data(), samples.size()), at::kLong);
  Batch batch;
  for (const auto& [name, tensor] : tensors_)
    batch.inputs[name] = tensor.index_select(0, index.to(tensor.device()));
  return batch;
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
Batch SyntheticTokens::fetch(std::span<const int64_t> samples, int64_t) const {
  const auto key = tensor::RandomKey(seed_).named("synthetic tokens");
  const int64_t width = sequence_length_ + 1;
  std::vector<at::Tensor> rows;
  for (const int64_t sample : samples) {
    rows.push_back(tensor::random_ints(key, {num_samples_, width},
                                       {.offset = {sample, 0}, .size = {1, width}}, 0, vocab_size_));
  }
  const at::Tensor tokens = at::cat(rows);
  return {.inputs = {{"input_ids", tokens.narrow(1, 0, sequence_length_).contiguous()},
                     {"labels", tokens.narrow(1, 1, sequence_length_).contiguous()}}};
}

}  // namespace colossal::data
