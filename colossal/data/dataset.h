// SPDX-License-Identifier: Apache-2.0
// A dataset: numbered samples, of which any set can be fetched as one batch.
//
//   auto dataset = std::make_shared<SyntheticTokens>(1024, 256, 50304, /*seed=*/1);   // 1024 sequences of 256 tokens
//   Batch batch = dataset->fetch({{7, 3}});                                           // input [2,256], label [2,256]
//
// Thread-safe: datasets are immutable; the loader calls fetch from its own thread.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <span>

namespace colossal::data {

// One microbatch of one rank. For language models input and label are int64 [b,S], label[t] = the token after
// input[t]; label -100 does not count in the loss.
struct Batch {
  at::Tensor input;
  at::Tensor label;
  int64_t step = 0;        // optimizer step that it belongs to, counted by the loader from its position
  int64_t microbatch = 0;  // 0 .. accumulation - 1
  int64_t first_row = 0;  // index of its first row in the global batch (dropout masks and order depend on it)
};

constexpr int64_t kIgnoredLabel = -100;

class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual int64_t size() const = 0;
  // Samples in the given order, stacked along dim 0. Indices are 0 .. size() - 1.
  virtual Batch fetch(std::span<const int64_t> samples) const = 0;
};

// Any tensors that the caller has in memory: sample i is (input[i], label[i]).
class TensorDataset : public Dataset {
 public:
  TensorDataset(at::Tensor input, at::Tensor label);  // the same size along dim 0, else ShapeError
  int64_t size() const override { return input_.size(0); }
  Batch fetch(std::span<const int64_t> samples) const override;

 private:
  at::Tensor input_, label_;
};

// Uniform random tokens, a pure function of (seed, sample, place): for benchmarks, `data.train =
// "synthetic"`.
class SyntheticTokens : public Dataset {
 public:
  SyntheticTokens(int64_t num_samples, int64_t sequence_length, int64_t vocab_size, uint64_t seed);
  int64_t size() const override { return num_samples_; }
  Batch fetch(std::span<const int64_t> samples) const override;

 private:
  int64_t num_samples_, sequence_length_, vocab_size_;
  uint64_t seed_;
};

}  // namespace colossal::data
