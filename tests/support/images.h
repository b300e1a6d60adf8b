// SPDX-License-Identifier: Apache-2.0
// Small image files for tests.
//
//   write_idx(scratch.path(), "train", {.count = 30, .height = 8, .width = 8, .classes = 5});    // train-images-idx3-ubyte and its labels
//   write_file(scratch / "cat/1.ppm", ppm(3, 2, {255, 0, 0, ...}));
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace colossal::testing {

struct IdxSizes {
  int count = 0, height = 0, width = 0, classes = 0;
};

// Image i is of class i % classes, which is at most 6: pixel p is 40 class + (37 i + 11 p) % 40.
unsigned char idx_pixel(const IdxSizes& sizes, int image, int pixel);
std::filesystem::path write_idx(const std::filesystem::path& folder, const std::string& name,
                                const IdxSizes& sizes);

// The bytes of an IDX header: 0 0 8 dims, then each size in four bytes, the largest first.
std::string idx_header(std::initializer_list<uint32_t> sizes);

// Binary PPM (3 values per pixel) or PGM (1): the simplest files that a decoder knows.
std::string pnm(int channels, int width, int height, const std::vector<int>& values);

// With its folders.
void write_file(const std::filesystem::path& path, std::string_view content);

}  // namespace colossal::testing
