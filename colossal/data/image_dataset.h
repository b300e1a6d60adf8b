// SPDX-License-Identifier: Apache-2.0
// Images as a model takes them: resized, of the right channels, normalised; for training also mirrored and shifted at random.
//
//   auto dataset = std::make_shared<ImageDataset>(open_images(path), ImageOptions{.size = 28, .channels = 1, .mean = {0.29}, .std = {0.35}});
//   Batch batch = dataset->fetch({{7, 3}}, 0);            // "pixel_values" fp32 [2, 1, 28, 28], "labels" int64 [2]
//
// Thread-safe: immutable; decoding happens in fetch, which is to say in the loader's thread.
#pragma once
#include <memory>
#include <vector>

#include "colossal/data/dataset.h"
#include "colossal/data/images/image_source.h"

namespace colossal::data {

struct ImageOptions {
  int64_t size =
      224;  // pixels of a side; others are resized, bilinear with antialiasing, whatever their proportions
  int64_t channels = 3;
  // Of pixels between 0 and 1, per channel or one for all: (pixel - mean) / std.
  std::vector<double> mean = {0.5}, std = {0.5};
  bool flip = false;  // every other image is mirrored, left to right
  int64_t shift = 0;  // moved by up to so many pixels along each side; black moves in
  uint64_t seed = 0;  // of flip and shift
};

class ImageDataset : public Dataset {
 public:
  // `images`: numbers within the source, in the order of the samples; empty: all.
  ImageDataset(std::shared_ptr<const ImageSource> source, ImageOptions options,
               std::vector<int64_t> images = {});
  int64_t size() const override;
  Batch fetch(std::span<const int64_t> samples, int64_t position) const override;

 private:
  std::shared_ptr<const ImageSource> source_;
  ImageOptions options_;
  std::vector<int64_t> images_;
};

// Random pixels of random classes, a pure function of (seed, image): for benchmarks, `data.train = "synthetic"`.
class SyntheticImages : public ImageSource {
 public:
  SyntheticImages(int64_t num_images, int64_t side, int64_t num_classes, uint64_t seed)
      : num_images_(num_images), side_(side), num_classes_(num_classes), seed_(seed) {}
  int64_t size() const override { return num_images_; }
  at::Tensor pixels(int64_t image, int64_t channels) const override;
  int64_t label(int64_t image) const override;

 private:
  int64_t num_images_, side_, num_classes_;
  uint64_t seed_;
};

}  // namespace colossal::data
