// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/image_dataset.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>

#include "colossal/data/draws.h"

namespace colossal::data {
namespace {

// What is done to one image at random.
struct Move {
  bool mirrored = false;
  int64_t down = 0, right = 0;
};

Move draw_move(const ImageOptions& options, int64_t position) {
  if (!options.flip && options.shift == 0) return {};
  Draws draws("image", options.seed, position, 3);
  const bool mirrored = draws.next() < 0.5 && options.flip;
  const int64_t range = 2 * options.shift + 1;
  const int64_t down = draws.below(range) - options.shift, right = draws.below(range) - options.shift;
  return {mirrored, down, right};
}

// pixels: fp32 [channels, size, size], 0 to 255.
void place(const float* pixels, float* out, const ImageOptions& options, const Move& move) {
  const int64_t n = options.size;
  for (int64_t c = 0; c < options.channels; ++c) {
    const auto of_channel = [&](const std::vector<double>& all) {
      return all[all.size() == 1 ? 0 : static_cast<size_t>(c)];
    };
    const double mean = of_channel(options.mean), std = of_channel(options.std);
    for (int64_t y = 0; y < n; ++y) {
      const int64_t from_y = y - move.down;
      for (int64_t x = 0; x < n; ++x) {
        const int64_t moved_x = x - move.right, from_x = move.mirrored ? n - 1 - moved_x : moved_x;
        const bool inside = from_y >= 0 && from_y < n && from_x >= 0 && from_x < n;
        const double pixel = inside ? pixels[(c * n + from_y) * n + from_x] : 0;
        *out++ = static_cast<float>((pixel / 255 - mean) / std);
      }
    }
  }
}

}  // namespace

ImageDataset::ImageDataset(std::shared_ptr<const ImageSource> source, ImageOptions options,
                           std::vector<int64_t> images)
    : source_(std::move(source)), options_(std::move(options)), images_(std::move(images)) {}

int64_t ImageDataset::size() const {
  return images_.empty() ? source_->size() : static_cast<int64_t>(images_.size());
}

Batch ImageDataset::fetch(std::span<const int64_t> samples, int64_t position) const {
  const auto rows = static_cast<int64_t>(samples.size());
  const int64_t n = options_.size, channels = options_.channels;
  const at::Tensor pixels = at::empty({rows, channels, n, n}, at::kFloat),
                   labels = at::empty({rows}, at::kLong);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t image = images_.empty() ? samples[row] : images_[static_cast<size_t>(samples[row])];
    at::Tensor x = source_->pixels(image, channels).to(at::kFloat);
    if (x.size(1) != n || x.size(2) != n)
      x = at::_upsample_bilinear2d_aa(x.unsqueeze(0), {n, n}, /*align_corners=*/false, std::nullopt,
                                      std::nullopt);
    place(x.contiguous().const_data_ptr<float>(), pixels.mutable_data_ptr<float>() + row * channels * n * n,
          options_, draw_move(options_, position + row));
    labels.mutable_data_ptr<int64_t>()[row] = source_->label(image);
  }
  return {.inputs = {{"pixel_values", pixels}, {"labels", labels}}};
}

at::Tensor SyntheticImages::pixels(int64_t image, int64_t channels) const {
  return tensor::random_ints(
             tensor::RandomKey(seed_).named("synthetic pixels").at_step(static_cast<uint64_t>(image)),
             {channels, side_, side_}, {.offset = {0, 0, 0}, .size = {channels, side_, side_}}, 0, 256)
      .to(at::kByte);
}

int64_t SyntheticImages::label(int64_t image) const {
  return Draws("synthetic class", seed_, image, 1).below(num_classes_);
}

}  // namespace colossal::data
