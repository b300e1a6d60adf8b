// SPDX-License-Identifier: Apache-2.0
// A dataset: numbered samples, of which any set can be fetched as one batch.
//
//   auto dataset = std::make_shared<SyntheticTokens>(1024, 256, 50304, /*seed=*/1);   // 1024 sequences of 256 tokens
//   Batch batch = dataset->fetch({{7, 3}}, 0);                   // "input_ids" and "labels" [2,256]
//
// Thread-safe: datasets are immutable; the loader calls fetch from its own thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

#include "colossal/models/inputs.h"

namespace colossal::data {

// One microbatch of one rank: tensors by the names that a model gives them (models/inputs.h), one row per sample. Labels of -100 do not
// count in the loss.
struct Batch {
  models::Inputs inputs = {};
  int64_t step = 0;        // optimizer step that it belongs to, counted by the loader from its position
  int64_t microbatch = 0;  // 0 .. accumulation - 1
  int64_t first_row = 0;  // index of its first row in the global batch (dropout masks and order depend on it)

  // What is learned from and what is learned, where there is one of each. ShapeError that lists the names where there is not.
  const at::Tensor& input() const;
  const at::Tensor& label() const;
};

inline constexpr int64_t kIgnoredLabel = models::kIgnored;

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Samples in the given order, stacked along dim 0. Indices are 0 .. size() - 1. Sample r stands at `position` + r of all that the run
  // takes: what is drawn at random for it (masks, shifts of images) follows from that, so it changes by epoch and with nothing else.
  virtual Batch fetch(std::span<const int64_t> samples, int64_t position) const = 0;
};

// Any tensors that the caller has in memory: sample i is element i of each.
class TensorDataset : public Dataset {
 public:
  explicit TensorDataset(models::Inputs tensors);  // the same size along dim 0, else ShapeError
  TensorDataset(at::Tensor input, at::Tensor label)
      : TensorDataset({{"input", std::move(input)}, {"label", std::move(label)}}) {}
  int64_t size() const override { return tensors_.begin()->second.size(0); }
  Batch fetch(std::span<const int64_t> samples, int64_t position) const override;

 private:
  models::Inputs tensors_;
};

// Uniform random tokens, a pure function of (seed, sample, place): for benchmarks, `data.train =
// "synthetic"`.
class SyntheticTokens : public Dataset {
 public:
  SyntheticTokens(int64_t num_samples, int64_t sequence_length, int64_t vocab_size, uint64_t seed);
  int64_t size() const override { return num_samples_; }
  Batch fetch(std::span<const int64_t> samples, int64_t position) const override;

 private:
  int64_t num_samples_, sequence_length_, vocab_size_;
  uint64_t seed_;
};

}  // namespace colossal::data
