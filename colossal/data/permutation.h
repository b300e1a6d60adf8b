// SPDX-License-Identifier: Apache-2.0
// A pseudo-random permutation of 0..n-1 as a pure function of (n, key): no table, so shuffling a billion
// samples costs no memory and any rank can ask for any element.
//
//   Permutation shuffled(num_samples, tensor::RandomKey(seed).at_step(epoch));
//   int64_t sample = shuffled(7);                       // the 8th sample of the epoch
//
// Thread-safe: immutable values.
#pragma once
#include "colossal/tensor/random.h"

namespace colossal::data {

// Balanced Feistel network over the next power of four with Philox as its round function, walked until the value falls below n
// (Black, Rogaway 2002).
class Permutation {
 public:
  Permutation(int64_t n, const tensor::RandomKey& key);  // 1 <= n <= 2^62

  int64_t size() const { return n_; }
  int64_t operator()(
      int64_t index) const;  // 0 <= index < n; takes fewer than four rounds of the network on average

 private:
  int64_t n_;
  int half_bits_ = 1;
  tensor::RandomKey key_;
};

}  // namespace colossal::data
