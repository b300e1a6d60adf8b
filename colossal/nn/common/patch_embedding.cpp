// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/patch_embedding.h"

#include <ATen/ops/cat.h>

#include "colossal/base/error.h"
#include "colossal/nn/common/parts.h"
#include "colossal/nn/functional/linear.h"
#include "colossal/tensor/shape_text.h"

namespace colossal::nn {
namespace {

void check(const PatchEmbeddingOptions& o) {
  const bool sizes = o.image_size >= 1 && o.patch_size >= 1 && o.channels >= 1 && o.size >= 1;
  if (sizes && o.image_size % o.patch_size == 0) return;
  throw ShapeError(
      fmt::format("patch embedding: images of {0} x {0} with {1} channels, patches of {2} x {2}, size {3}. "
                  "Allowed: sizes "
                  "of at least 1, the patch a divisor of the image.",
                  o.image_size, o.channels, o.patch_size, o.size));
}

}  // namespace

at::Tensor cut_into_patches(const at::Tensor& pixels, int64_t patch_size) {
  const int64_t b = pixels.size(0), c = pixels.size(1), p = patch_size;
  const int64_t rows = pixels.size(2) / p, columns = pixels.size(3) / p;
  return pixels.reshape({b, c, rows, p, columns, p})
      .permute({0, 2, 4, 1, 3, 5})
      .reshape({b, rows * columns, c * p * p});
}

PatchEmbedding::PatchEmbedding(LayerContextPtr context, const PatchEmbeddingOptions& options)
    : context_(std::move(context)), options_(options) {
  check(options);
  const int64_t c = options.channels, p = options.patch_size;
  const auto add = [&](const char* name, const tensor::Shape& shape, at::IntArrayRef local, Init init,
                       bool decay) {
    return add_parameter(name, local, context_->along_hidden(shape, 0, context_->stream, init, decay),
                         context_->parameter_options());
  };
  const int64_t local = options.size / context_->mesh.shape().axes_size(context_->stream.hidden);
  const Init normal = Init::normal(options.init_std);
  class_token_ = add("class_token", {options.size}, {local}, normal, true);
  weight_ = add("weight", {options.size, c, p, p}, {local, c * p * p}, normal, true);
  bias_ = add("bias", {options.size}, {local}, Init::zeros(), false);
}

at::Tensor PatchEmbedding::forward(const at::Tensor& pixels) {
  const int64_t side = options_.image_size;
  if (pixels.dim() != 4 || pixels.size(1) != options_.channels || pixels.size(2) != side ||
      pixels.size(3) != side) {
    throw ShapeError(fmt::format(
        "patch embedding: pixels are {}. Allowed: {} channels of {} x {} ([batch, channels, height, width]).",
        tensor::shape_text(pixels.sizes()), options_.channels, side, side));
  }
  const comm::Mesh& mesh = context_->mesh;
  const Placement& stream = context_->stream;
  const at::Tensor images = own_part(pixels, 0, stream.batch, mesh, 0).to(context_->compute);
  const at::Tensor patches = cut_into_patches(images, options_.patch_size);
  const int64_t rows = patches.size(0), tokens = 1 + patches.size(1);
  context_->state->num_rows = pixels.size(0);
  context_->state->sequence_length = tokens;
  // This rank's tokens: the class token is number 0, patch i number i + 1.
  const Part part = part_of(tokens, stream.sequence, mesh.shape(), mesh.rank());
  const bool first = part.begin == 0;
  const int64_t begin = std::min(first ? 0 : part.begin - 1, patches.size(1));
  const int64_t count = std::max<int64_t>(0, part.valid - (first ? 1 : 0));
  at::Tensor x = functional::linear(patches.narrow(1, begin, count), weight_, bias_);
  // Expanded before it is cast, so that its gradient is summed in the precision of the parameter.
  if (first) x = at::cat({class_token_.expand({rows, 1, -1}).to(context_->compute), x}, 1);
  return padded(x, 1, part.size, 0);
}

}  // namespace colossal::nn
