// SPDX-License-Identifier: Apache-2.0
// Images and labels in IDX files (yann.lecun.com, the MNIST database), kept in memory as they are: a byte per pixel, grey.
//
//   auto source = open_idx("train-images-idx3-ubyte.gz");      // labels: train-labels-idx1-ubyte, with .gz or without
//
// Thread-safe: immutable.
#pragma once
#include "colossal/data/images/image_source.h"

namespace colossal::data {

ImageFacts idx_facts(const std::filesystem::path& images);
std::shared_ptr<const ImageSource> open_idx(const std::filesystem::path& images);

}  // namespace colossal::data
