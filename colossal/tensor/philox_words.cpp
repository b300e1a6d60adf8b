// SPDX-License-Identifier: Apache-2.0
// Philox in 64-bit lanes of which the low half counts: one vector multiply (vpmuludq reads low halves only) gives both halves of
// the product, and what is left in the high halves never reaches a result.
#include "colossal/tensor/philox.h"
#include "colossal/tensor/simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace colossal::tensor {
namespace {

constexpr uint32_t kMul0 = 0xD2511F53,
                   kMul1 = 0xCD9E8D57;  // multipliers and key increments: table 2 of the paper
constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
constexpr int kBlocks = 16;  // in a tile

// One tile: out[16 w + j] is word w of block first_block + j; first_block % 16 == 0.
using TileKernel = void (*)(uint64_t seed, uint64_t stream, uint64_t first_block, uint32_t* out);

void tile_baseline(uint64_t seed, uint64_t stream, uint64_t first_block, uint32_t* out) {
  for (uint32_t j = 0; j < kBlocks; ++j) {
    const auto words =
        philox({static_cast<uint32_t>(first_block) + j, static_cast<uint32_t>(first_block >> 32),
                static_cast<uint32_t>(stream), static_cast<uint32_t>(stream >> 32)},
               {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
    for (int w = 0; w < 4; ++w) out[w * kBlocks + j] = words[w];
  }
}

#if defined(__x86_64__)
// GCC 12 takes the undefined vectors inside its own intrinsics for mistakes of ours.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

__attribute__((target("avx512f"))) void tile_avx512(uint64_t seed, uint64_t stream, uint64_t first_block,
                                                    uint32_t* out) {
  constexpr int kGroups = 2;  // of eight blocks
  const __m512i mul0 = _mm512_set1_epi64(kMul0), mul1 = _mm512_set1_epi64(kMul1);
  __m512i c[4][kGroups];
  for (int64_t g = 0; g < kGroups; ++g) {
    c[0][g] = _mm512_add_epi64(_mm512_set1_epi64(static_cast<long long>(first_block) + 8 * g),
                               _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0));
    c[1][g] = _mm512_set1_epi64(static_cast<long long>(first_block >> 32));
    c[2][g] = _mm512_set1_epi64(static_cast<long long>(stream));
    c[3][g] = _mm512_set1_epi64(static_cast<long long>(stream >> 32));
  }
  auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round, k0 += kWeyl0, k1 += kWeyl1) {
    const __m512i key0 = _mm512_set1_epi64(k0), key1 = _mm512_set1_epi64(k1);
    for (int g = 0; g < kGroups; ++g) {
      const __m512i p0 = _mm512_mul_epu32(c[0][g], mul0), p1 = _mm512_mul_epu32(c[2][g], mul1);
      c[0][g] =
          _mm512_ternarylogic_epi64(_mm512_srli_epi64(p1, 32), c[1][g], key0, 0x96);  // exclusive or of three
      c[2][g] = _mm512_ternarylogic_epi64(_mm512_srli_epi64(p0, 32), c[3][g], key1, 0x96);
      c[1][g] = p1;
      c[3][g] = p0;
    }
  }
  for (int64_t w = 0; w < 4; ++w) {
    for (int64_t g = 0; g < kGroups; ++g) {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + w * kBlocks + 8 * g),
                          _mm512_cvtepi64_epi32(c[w][g]));
    }
  }
}

__attribute__((target("avx2"))) void tile_avx2(uint64_t seed, uint64_t stream, uint64_t first_block,
                                               uint32_t* out) {
  const __m256i mul0 = _mm256_set1_epi64x(kMul0), mul1 = _mm256_set1_epi64x(kMul1);
  const __m256i low_halves = _mm256_set_epi32(7, 5, 3, 1, 6, 4, 2, 0);
  for (int begin = 0; begin < kBlocks; begin += 8) {  // two groups of four blocks at a time fit the registers
    __m256i c[4][2];
    for (int64_t g = 0; g < 2; ++g) {
      const uint64_t block = first_block + static_cast<uint64_t>(begin + 4 * g);
      c[0][g] =
          _mm256_add_epi64(_mm256_set1_epi64x(static_cast<long long>(block)), _mm256_set_epi64x(3, 2, 1, 0));
      c[1][g] = _mm256_set1_epi64x(static_cast<long long>(first_block >> 32));
      c[2][g] = _mm256_set1_epi64x(static_cast<long long>(stream));
      c[3][g] = _mm256_set1_epi64x(static_cast<long long>(stream >> 32));
    }
    auto k0 = static_cast<uint32_t>(seed), k1 = static_cast<uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round, k0 += kWeyl0, k1 += kWeyl1) {
      const __m256i key0 = _mm256_set1_epi64x(k0), key1 = _mm256_set1_epi64x(k1);
      for (int g = 0; g < 2; ++g) {
        const __m256i p0 = _mm256_mul_epu32(c[0][g], mul0), p1 = _mm256_mul_epu32(c[2][g], mul1);
        c[0][g] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p1, 32), c[1][g]), key0);
        c[2][g] = _mm256_xor_si256(_mm256_xor_si256(_mm256_srli_epi64(p0, 32), c[3][g]), key1);
        c[1][g] = p1;
        c[3][g] = p0;
      }
    }
    for (int64_t w = 0; w < 4; ++w) {
      for (int64_t g = 0; g < 2; ++g) {
        const __m256i packed = _mm256_permutevar8x32_epi32(c[w][g], low_halves);
        _mm_storeu_si128(reinterpret_cast<__m128i*>(out + w * kBlocks + begin + 4 * g),
                         _mm256_castsi256_si128(packed));
      }
    }
  }
}

#pragma GCC diagnostic pop
#endif

TileKernel best_kernel() {
#if defined(__x86_64__)
  if (simd::level() == simd::Level::v4) return tile_avx512;
  if (simd::level() == simd::Level::v3) return tile_avx2;
#endif
  return tile_baseline;
}

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round, k[0] += kWeyl0, k[1] += kWeyl1) {
    const uint64_t p0 = static_cast<uint64_t>(c[0]) * kMul0, p1 = static_cast<uint64_t>(c[2]) * kMul1;
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<uint32_t>(p0)};
  }
  return c;
}

void random_words(uint64_t seed, uint64_t stream, int64_t first_tile, int64_t num_tiles, uint32_t* out) {
  static const TileKernel kernel = best_kernel();
  for (int64_t t = 0; t < num_tiles; ++t) {
    kernel(seed, stream, static_cast<uint64_t>(first_tile + t) * kBlocks, out + t * kTile);
  }
}

std::vector<RandomWords> random_words_kernels() {
  std::vector<RandomWords> all{{"baseline", tile_baseline}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2")) all.push_back({"avx2", tile_avx2});
  if (__builtin_cpu_supports("avx512f")) all.push_back({"avx512f", tile_avx512});
#endif
  return all;
}

}  // namespace colossal::tensor
