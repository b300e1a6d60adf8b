// SPDX-License-Identifier: Apache-2.0
// A picture of who holds what of an MLP and of the activations before, in and after it, drawn from the layouts that the layers have.
//
//   std::string svg = mlp_picture(config.parallel, {.batch = 16, .sequence = 64, .hidden = 256, .ffn = 1024});
//
// Thread-safe: pure functions.
#pragma once
#include <cstdint>
#include <string>

#include "colossal/train/config.h"

namespace colossal::cli {

struct MlpSizes {
  int64_t batch = 0, sequence = 0, hidden = 0, ffn = 0;
};

// SVG that stands alone, for light and dark pages. Weights are drawn input x output, so that a row of the picture reads as the
// product; each colour is a rank of one data-parallel replica, a sheet behind another is a copy. ShapeError for sizes that do not fit.
std::string mlp_picture(const train::ParallelSection& parallel, const MlpSizes& sizes);

}  // namespace colossal::cli
