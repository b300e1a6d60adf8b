// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/parts.h"

#include <ATen/ops/constant_pad_nd.h>

namespace colossal::nn {

at::Tensor padded(const at::Tensor& x, int64_t dim, int64_t size, double value) {
  if (x.size(dim) == size) return x;
  std::vector<int64_t> pad(2 * (x.dim() - dim), 0);
  pad.back() = size - x.size(dim);
  return at::constant_pad_nd(x, pad, value);
}

int64_t padded_size(int64_t size, const comm::Axes& axes, const comm::Mesh& mesh) {
  const int64_t ways = mesh.shape().axes_size(axes);
  return (size + ways - 1) / ways * ways;
}

at::Tensor own_part(const at::Tensor& x, int64_t dim, const comm::Axes& axes, const comm::Mesh& mesh,
                    double value) {
  const Part part = part_of(x.size(dim), axes, mesh.shape(), mesh.rank());
  if (part.valid == x.size(dim)) return x;
  return padded(x.narrow(dim, std::min(part.begin, x.size(dim)), part.valid), dim, part.size, value);
}

}  // namespace colossal::nn
