// SPDX-License-Identifier: Apache-2.0
// Random numbers of one sample: a pure function of (seed, what they are for, its position in the order of the run).
//
//   Draws draws("image", seed, position, 3);
//   const bool mirrored = draws.next() < 0.5;
//
// Not thread-safe: a cursor over numbers of its own.
#pragma once
#include <cstdint>
#include <string_view>

#include "colossal/tensor/random.h"

namespace colossal::data {

class Draws {
 public:
  Draws(std::string_view purpose, uint64_t seed, int64_t position, int64_t count)
      : numbers_(
            tensor::uniform(tensor::RandomKey(seed).named(purpose).at_step(static_cast<uint64_t>(position)),
                            {count}, {.offset = {0}, .size = {count}}, 0, 1, at::kDouble)) {}
  double next() { return numbers_.const_data_ptr<double>()[used_++]; }  // in [0, 1), at most `count` times
  int64_t below(int64_t n) { return static_cast<int64_t>(next() * static_cast<double>(n)); }  // 0 .. n - 1

 private:
  at::Tensor numbers_;
  int64_t used_ = 0;
};

}  // namespace colossal::data
