// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/permutation.h"

#include "colossal/base/error.h"
#include "colossal/tensor/philox.h"

namespace colossal::data {
namespace {

constexpr uint32_t kRounds = 6;
constexpr int64_t kMaxSize = int64_t{1} << 62;

uint32_t low(uint64_t word) { return static_cast<uint32_t>(word); }
uint32_t high(uint64_t word) { return static_cast<uint32_t>(word >> 32); }

}  // namespace

Permutation::Permutation(int64_t n, const tensor::RandomKey& key) : n_(n), key_(key) {
  if (n < 1 || n > kMaxSize) throw InternalError(fmt::format("Permutation of {} elements", n));
  while ((int64_t{1} << (2 * half_bits_)) < n) ++half_bits_;
}

int64_t Permutation::operator()(int64_t index) const {
  if (index < 0 || index >= n_) throw InternalError(fmt::format("Permutation: index {} of {}", index, n_));
  const uint32_t mask = low((uint64_t{1} << half_bits_) - 1);
  auto value = static_cast<uint64_t>(index);
  do {
    auto left = low(value >> half_bits_);
    auto right = low(value) & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const auto words = tensor::philox({right, round, low(key_.stream()), high(key_.stream())},
                                        {low(key_.seed()), high(key_.seed())});
      left = std::exchange(right, left ^ (words[0] & mask));
    }
    value = (uint64_t{left} << half_bits_) | right;
  } while (value >= static_cast<uint64_t>(n_));
  return static_cast<int64_t>(value);
}

}  // namespace colossal::data
