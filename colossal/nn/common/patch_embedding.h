// SPDX-License-Identifier: Apache-2.0
// Images as sequences: a linear function of each patch, behind a class token (Dosovitskiy et al., arXiv 2010.11929). A rank computes
// its part of the stream from the pixels, which all ranks of a replica have: nothing is communicated.
//
//   at::Tensor x = patches->forward(pixels);   // [b, channels, image, image] -> [b, 1 + patches, h] in the compute dtype
//
// Thread safety: one rank, one thread.
#pragma once
#include "colossal/nn/common/context.h"
#include "colossal/nn/layer_factory.h"

namespace colossal::nn {

// pixels [b, c, rows * p, columns * p] -> [b, rows * columns, c * p * p]: patches from left to right and top to bottom, each with its
// channels outermost.
at::Tensor cut_into_patches(const at::Tensor& pixels, int64_t patch_size);

class PatchEmbedding final : public UnaryLayer {
 public:
  // ShapeError where the patch does not divide the image.
  PatchEmbedding(LayerContextPtr context, const PatchEmbeddingOptions& options);
  at::Tensor forward(const at::Tensor& pixels) override;  // ShapeError for images of another size

 private:
  LayerContextPtr context_;
  PatchEmbeddingOptions options_;
  at::Tensor class_token_, weight_, bias_;
};

}  // namespace colossal::nn
