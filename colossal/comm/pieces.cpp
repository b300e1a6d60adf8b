// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/pieces.h"

namespace colossal::comm {

at::Tensor join_pieces(const at::Tensor& stacked, int64_t n, int64_t dim) {
  if (dim == 0) return stacked;
  std::vector<int64_t> sizes = stacked.sizes().vec();
  sizes[0] /= n;
  std::vector<int64_t> pieces = sizes;
  pieces.insert(pieces.begin(), n);
  sizes[dim] *= n;
  return stacked.view(pieces).movedim(0, dim).reshape(sizes);  // [.., n, d, ..] on the way
}

at::Tensor stack_pieces(const at::Tensor& x, int64_t n, int64_t dim) {
  if (dim == 0) return x.contiguous();
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[dim] /= n;
  std::vector<int64_t> pieces = sizes;
  pieces.insert(pieces.begin() + dim, n);
  sizes[0] *= n;
  return x.reshape(pieces).movedim(dim, 0).reshape(sizes).contiguous();
}

}  // namespace colossal::comm
