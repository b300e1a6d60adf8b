// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/permutation.h"

#include "colossal/base/error.h"

namespace colossal::data {

Permutation::Permutation(int64_t n, uint64_t key) : n_(n) {
  if (n < 1) throw InternalError(fmt::format("Permutation of {} elements", n));
  while ((uint64_t{1} << (2 * half_bits_)) < static_cast<uint64_t>(n)) ++half_bits_;
  for (int round = 0; round < kRounds; ++round)
    round_keys_[round] = random_key(key, {static_cast<uint64_t>(round)});
}

int64_t Permutation::operator()(int64_t index) const {
  if (index < 0 || index >= n_) throw InternalError(fmt::format("Permutation: index {} of {}", index, n_));
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t value = static_cast<uint64_t>(index);
  do {
    uint64_t left = value >> half_bits_;
    uint64_t right = value & mask;
    for (const uint64_t key : round_keys_) {
      const uint64_t next = left ^ (mix64(right ^ key) & mask);
      left = right;
      right = next;
    }
    value = (left << half_bits_) | right;
  } while (value >= static_cast<uint64_t>(n_));
  return static_cast<int64_t>(value);
}

}  // namespace colossal::data
