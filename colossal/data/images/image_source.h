// SPDX-License-Identifier: Apache-2.0
// Numbered pictures and their classes, from disk.
//
//   auto source = open_images("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz");
//   at::Tensor pixels = source->pixels(0, 1);            // uint8 [1, 28, 28]
//
// Thread-safe: immutable.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace colossal::data {

class ImageSource {
 public:
  virtual ~ImageSource() = default;
  virtual int64_t size() const = 0;
  // uint8 [channels, height, width]; channels: 1 (grey) or 3 (red, green, blue). IoError that names the file.
  virtual at::Tensor pixels(int64_t image, int64_t channels) const = 0;
  virtual int64_t label(int64_t image) const = 0;  // 0 .. classes - 1
};

// What can be told before all is read.
struct ImageFacts {
  int64_t size = 0;      // pixels of a side where all are square and alike, else 0
  int64_t channels = 0;  // 1 or 3
  std::vector<std::string> classes = {};
};

// Whether the name is that of an IDX file of images: "train-images-idx3-ubyte", also .gz. Its labels are beside it, "images-idx3" in its
// name being "labels-idx1" there.
bool is_idx(const std::filesystem::path& path);

// `path`: an IDX file, or a folder with a folder of images for each class, which are numbered by name. IoError for what is neither, for
// missing labels, damaged files, classes without images. The facts of an IDX file cost the reading of its labels.
ImageFacts image_facts(const std::filesystem::path& path);
std::shared_ptr<const ImageSource> open_images(const std::filesystem::path& path);

}  // namespace colossal::data
