// SPDX-License-Identifier: Apache-2.0
// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), many blocks at a
// time.
//
//   std::array<uint32_t, 4> words = philox({0, 0, 0, 0}, {0, 0});     // 6627e8d5 e169c58d bc57ac4c 9b00dbd8
//
// Element i of a stream lives in tile t = i / 64. With j = i % 16 and w = i / 16 % 4 it is word w of the
// block with counter (16 t + j, stream) and key = seed: whole vectors are computed without a shuffle.
// Thread-safe: pure functions.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace colossal::tensor {

inline constexpr int64_t kTile = 64;  // elements that are generated together

// The reference form, one block.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Elements [64 first_tile, 64 (first_tile + num_tiles)) of a stream. `out` holds 64 num_tiles values.
void random_words(uint64_t seed, uint64_t stream, int64_t first_tile, int64_t num_tiles, uint32_t* out);
// Every form of the tile kernel that this processor runs, for tests: they agree bit for bit.
struct RandomWords {
  const char* name;
  void (*tile)(uint64_t seed, uint64_t stream, uint64_t first_block, uint32_t* out);
};
std::vector<RandomWords> random_words_kernels();

// Standard normal values from the same words, by Box-Muller; the same bits on every processor.
void random_normals(uint64_t seed, uint64_t stream, int64_t first_tile, int64_t num_tiles, double* out);

}  // namespace colossal::tensor
