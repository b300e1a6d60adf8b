// SPDX-License-Identifier: Apache-2.0
// What a rank takes of a tensor that all ranks have: inputs, labels, masks of a whole replica.
//
//   at::Tensor rows = own_part(labels, 0, placement.batch, mesh, -100);
//
// Thread-safe: pure functions.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/comm/mesh.h"
#include "colossal/nn/placement.h"

namespace colossal::nn {

// x with `dim` grown to `size` by `value`.
at::Tensor padded(const at::Tensor& x, int64_t dim, int64_t size, double value);

// `size` rounded up to what `axes` can cut evenly.
int64_t padded_size(int64_t size, const comm::Axes& axes, const comm::Mesh& mesh);

// This rank's part of dim `dim` under `axes`; where the size does not divide, the last parts are filled up with `value`.
at::Tensor own_part(const at::Tensor& x, int64_t dim, const comm::Axes& axes, const comm::Mesh& mesh,
                    double value);

}  // namespace colossal::nn
