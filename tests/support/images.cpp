// SPDX-License-Identifier: Apache-2.0
#include "tests/support/images.h"

#include <fstream>

namespace colossal::testing {

unsigned char idx_pixel(const IdxSizes& sizes, int image, int pixel) {
  return static_cast<unsigned char>(40 * (image % sizes.classes) + (37 * image + 11 * pixel) % 40);
}

std::string idx_header(std::initializer_list<uint32_t> sizes) {
  std::string bytes{0, 0, 8, static_cast<char>(sizes.size())};
  for (const uint32_t size : sizes) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(size >> shift & 0xff);
  }
  return bytes;
}

std::filesystem::path write_idx(const std::filesystem::path& folder, const std::string& name,
                                const IdxSizes& sizes) {
  const auto count = static_cast<uint32_t>(sizes.count);
  std::string images =
      idx_header({count, static_cast<uint32_t>(sizes.height), static_cast<uint32_t>(sizes.width)});
  std::string labels = idx_header({count});
  for (int i = 0; i < sizes.count; ++i) {
    labels += static_cast<char>(i % sizes.classes);
    for (int p = 0; p < sizes.height * sizes.width; ++p) images += static_cast<char>(idx_pixel(sizes, i, p));
  }
  write_file(folder / (name + "-labels-idx1-ubyte"), labels);
  write_file(folder / (name + "-images-idx3-ubyte"), images);
  return folder / (name + "-images-idx3-ubyte");
}

std::string pnm(int channels, int width, int height, const std::vector<int>& values) {
  std::string bytes =
      (channels == 3 ? "P6 " : "P5 ") + std::to_string(width) + " " + std::to_string(height) + " 255\n";
  for (const int value : values) bytes += static_cast<char>(value);
  return bytes;
}

void write_file(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
}

}  // namespace colossal::testing
