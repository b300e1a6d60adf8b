// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/sample_order.h"

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/data/permutation.h"

namespace colossal::data {

SampleOrder::SampleOrder(int64_t num_samples, uint64_t seed, Shuffle shuffle)
    : num_samples_(num_samples), seed_(seed), shuffle_(shuffle) {
  if (num_samples < 1) throw InternalError("SampleOrder of an empty dataset");
}

int64_t SampleOrder::operator()(int64_t position) const {
  const int64_t offset = position % num_samples_;
  if (shuffle_ == Shuffle::no) return offset;
  const auto key =
      tensor::RandomKey(seed_).named("sample order").at_step(static_cast<uint64_t>(epoch(position)));
  return Permutation(num_samples_, key)(offset);
}

void BatchSplit::validate() const {
  std::vector<std::string> problems;
  if (microbatch_size < 1) {
    problems.push_back(
        fmt::format("train.microbatch_size = {}. Allowed: 1 or more sequences.", microbatch_size));
  }
  if (global_batch_size < 1) {
    problems.push_back(
        fmt::format("train.global_batch_size = {}. Allowed: 1 or more sequences.", global_batch_size));
  }
  if (data_size < 1 || data_rank < 0 || data_rank >= data_size) {
    problems.push_back(fmt::format("data rank {} of {}. Allowed: 0 to size - 1.", data_rank, data_size));
  }
  if (problems.empty() && global_batch_size % (microbatch_size * data_size) != 0) {
    const int64_t unit = microbatch_size * data_size;
    const int64_t below = global_batch_size / unit * unit;
    const std::string nearest =
        below > 0 ? fmt::format("{} or {}", below, below + unit) : fmt::format("{}", unit);
    problems.push_back(fmt::format(
        "train.global_batch_size = {} is not a multiple of train.microbatch_size = {} times {} data-parallel "
        "ranks. Nearest: {}.",
        global_batch_size, microbatch_size, data_size, nearest));
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
}

}  // namespace colossal::data
