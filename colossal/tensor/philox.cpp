// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/philox.h"

#include <bit>
#include <cmath>
#include <numbers>

#include "colossal/tensor/simd.h"

namespace colossal::tensor {
namespace {

constexpr int kLanes = 16;

// Exact for every uint32; through the signed conversion, which all instruction sets have.
[[gnu::always_inline]] inline double to_double(uint32_t w) {
  return static_cast<double>(static_cast<int32_t>(w ^ 0x80000000u)) + 2147483648.0;
}

// Natural logarithm for normal positive x, about 1 ulp: x = 2^e m with m in [1/sqrt 2, sqrt 2), log m = 2
// atanh((m-1)/(m+1)).
[[gnu::always_inline]] inline double log_of(double x) {
  const uint64_t bits = std::bit_cast<uint64_t>(x);
  // Adding the distance from sqrt(1/2) to 1 carries into the exponent exactly when the mantissa is above
  // sqrt 2.
  const uint64_t shifted = bits + (0x3ff0000000000000u - 0x3fe6a09e667f3bcdu);
  const int32_t exponent = static_cast<int32_t>(shifted >> 52) - 1023;
  const double m = std::bit_cast<double>((shifted & 0x000fffffffffffffu) + 0x3fe6a09e667f3bcdu);
  const double f = (m - 1) / (m + 1), s = f * f;
  double p = 1.0 / 21;
  p = p * s + 1.0 / 19;
  p = p * s + 1.0 / 17;
  p = p * s + 1.0 / 15;
  p = p * s + 1.0 / 13;
  p = p * s + 1.0 / 11;
  p = p * s + 1.0 / 9;
  p = p * s + 1.0 / 7;
  p = p * s + 1.0 / 5;
  p = p * s + 1.0 / 3;
  return exponent * std::numbers::ln2 + 2 * (f + f * s * p);
}

// Sine and cosine of t in [-pi/4, pi/4] by their series.
[[gnu::always_inline]] inline double sin_of(double t) {
  const double s = t * t;
  double p = 1.0 / 355687428096000;
  p = p * s - 1.0 / 1307674368000;
  p = p * s + 1.0 / 6227020800;
  p = p * s - 1.0 / 39916800;
  p = p * s + 1.0 / 362880;
  p = p * s - 1.0 / 5040;
  p = p * s + 1.0 / 120;
  p = p * s - 1.0 / 6;
  return t + t * s * p;
}

[[gnu::always_inline]] inline double cos_of(double t) {
  const double s = t * t;
  double p = -1.0 / 6402373705728000;
  p = p * s + 1.0 / 20922789888000;
  p = p * s - 1.0 / 87178291200;
  p = p * s + 1.0 / 479001600;
  p = p * s - 1.0 / 3628800;
  p = p * s + 1.0 / 40320;
  p = p * s - 1.0 / 720;
  p = p * s + 1.0 / 24;
  p = p * s - 1.0 / 2;
  return 1 + s * p;
}

// Two normal values from two words (Box and Muller 1958).
[[gnu::always_inline]] inline void box_muller(uint32_t w0, uint32_t w1, double& a, double& b) {
  const double radius = __builtin_sqrt(-2 * log_of((to_double(w0) + 0.5) * 0x1p-32));
  // The angle is a quadrant (two top bits) and the rest, taken from the middle of the quadrant.
  const double t = (to_double(w1 & 0x3fffffff) * 0x1p-30 - 0.5) * (std::numbers::pi / 2);
  const double s = sin_of(t), c = cos_of(t);
  const double x = (c - s) * (std::numbers::sqrt2 / 2), y = (c + s) * (std::numbers::sqrt2 / 2);
  const uint64_t turn = 0 - static_cast<uint64_t>(w1 >> 30 & 1);  // all ones in the quadrants 1 and 3
  const uint64_t sign = static_cast<uint64_t>(w1 & 0x80000000u)
                        << 32;  // quadrants 2 and 3 are 0 and 1 negated
  const uint64_t bx = std::bit_cast<uint64_t>(x), by = std::bit_cast<uint64_t>(y);
  const uint64_t minus_y = by ^ 0x8000000000000000u;
  a = radius * std::bit_cast<double>(((bx & ~turn) | (minus_y & turn)) ^ sign);
  b = radius * std::bit_cast<double>(((by & ~turn) | (bx & turn)) ^ sign);
}

// One tile of words to one tile of values.
struct Normals {
  COLOSSAL_INLINE static void run(const uint32_t* words, double* values) {
    for (int half = 0; half < kTile; half += 2 * kLanes) {
#pragma omp simd
      for (int j = half; j < half + kLanes; ++j) {
        box_muller(words[j], words[j + kLanes], values[j], values[j + kLanes]);
      }
    }
  }
};

}  // namespace

void random_normals(uint64_t seed, uint64_t stream, int64_t first_tile, int64_t num_tiles, double* out) {
  alignas(64) uint32_t words[kTile];
  for (int64_t t = 0; t < num_tiles; ++t) {
    random_words(seed, stream, first_tile + t, 1, words);
    simd::run<Normals>(static_cast<const uint32_t*>(words), out + t * kTile);
  }
}

}  // namespace colossal::tensor
