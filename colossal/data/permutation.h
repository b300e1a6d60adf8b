// SPDX-License-Identifier: Apache-2.0
// A pseudo-random permutation of 0..n-1 as a pure function of (n, key): no table, so shuffling a billion
// samples costs no memory and any rank can ask for any element.
//
//   Permutation shuffled(num_samples, random_key(seed, {epoch}));
//   int64_t sample = shuffled(7);                       // the 8th sample of the epoch
//
// Thread-safe: immutable values.
#pragma once
#include <array>
#include <cstdint>
#include <initializer_list>

namespace colossal::data {

// One well-mixed 64-bit word from 64 bits (finaliser of SplitMix64; Steele, Lea, Flood 2014).
constexpr uint64_t mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// A random word that depends on the seed and every counter, in order.
constexpr uint64_t random_key(uint64_t seed, std::initializer_list<uint64_t> counters) {
  uint64_t key = mix64(seed);
  for (uint64_t counter : counters) key = mix64(key ^ mix64(counter));
  return key;
}

// Balanced Feistel network over the next power of four, walked until the value falls below n (Black, Rogaway
// 2002).
class Permutation {
 public:
  Permutation(int64_t n, uint64_t key);  // n >= 1

  int64_t size() const { return n_; }
  int64_t operator()(
      int64_t index) const;  // 0 <= index < n; takes fewer than four rounds of the network on average

 private:
  static constexpr int kRounds = 6;
  int64_t n_;
  int half_bits_ = 1;
  std::array<uint64_t, kRounds> round_keys_;
};

}  // namespace colossal::data
