// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/redistribute.h"

#include <ATen/ops/constant_pad_nd.h>
#include <fmt/ranges.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"

namespace colossal::tensor {
namespace {

// `size` elements of `dim` from `offset`, and zeros behind them up to `block`.
at::Tensor cut(const at::Tensor& x, int64_t dim, int64_t offset, int64_t size, int64_t block) {
  at::Tensor piece = x.narrow(dim, offset, size);
  if (size == block) return piece;
  std::vector<int64_t> zeros(2 * static_cast<size_t>(x.dim() - dim));  // before and after, last dim first
  zeros.back() = block - size;
  return at::constant_pad_nd(piece, zeros);
}

at::Tensor execute(const Step& step, const at::Tensor& x, const comm::Mesh& mesh) {
  switch (step.kind) {
    case Step::Kind::all_reduce: {
      at::Tensor sum = x.clone(at::MemoryFormat::Contiguous);
      comm::all_reduce(sum, mesh.group(step.axes));
      return sum;
    }
    case Step::Kind::reduce_scatter: return comm::reduce_scatter(x, mesh.group(step.axes), step.dim);
    case Step::Kind::all_gather: return comm::all_gather(x, mesh.group(step.axes), step.dim);
    case Step::Kind::all_to_all: return comm::all_to_all(x, mesh.group(step.axes), step.dim, step.from_dim);
    case Step::Kind::recut: {
      const Slice slice = step.result.slice(mesh.rank());
      const auto d = static_cast<size_t>(step.dim);
      return cut(x, step.dim, slice.offset[d], slice.size[d], step.result.local_shape()[d]);
    }
    case Step::Kind::slice: break;
  }
  const int64_t size = x.size(step.dim) / step.num_members;
  return x.narrow(step.dim, mesh.shape().group_index(mesh.rank(), step.axes) * size, size);
}

}  // namespace

at::Tensor redistribute(const at::Tensor& x, const Layout& from, const Layout& to, const comm::Mesh& mesh) {
  if (from.mesh() != mesh.shape()) {
    throw ShapeError(fmt::format("redistribute {}: the layout is for the mesh {}, this is {}.",
                                 from.describe(), from.mesh().describe(), mesh.shape().describe()));
  }
  if (x.numel() != from.local_numel()) {
    throw ShapeError(
        fmt::format("redistribute {}: the local piece [{}] has {} elements, the layout gives each rank {}.",
                    from.describe(), fmt::join(x.sizes(), ", "), x.numel(), from.local_numel()));
  }
  at::Tensor piece = x.detach().reshape(from.local_shape());
  for (const Step& step : plan_redistribution(from, to).steps) piece = execute(step, piece, mesh);
  return piece.contiguous();
}

at::Tensor local_piece(const at::Tensor& full, const Layout& layout, int rank) {
  const Slice slice = layout.slice(rank);
  const Shape block = layout.local_shape();
  at::Tensor piece = full;
  for (size_t d = 0; d < block.size(); ++d) {
    piece = cut(piece, static_cast<int64_t>(d), slice.offset[d], slice.size[d], block[d]);
  }
  return piece;
}

at::Tensor without_padding(const at::Tensor& x, const Layout& layout, int rank) {
  if (!layout.is_padded()) return x;
  const Slice slice = layout.slice(rank);
  at::Tensor piece = x.view(layout.local_shape());
  for (size_t d = 0; d < slice.size.size(); ++d)
    piece = piece.narrow(static_cast<int64_t>(d), 0, slice.size[d]);
  return piece;
}

at::Tensor gather_full(const at::Tensor& x, const Layout& layout, const comm::Mesh& mesh) {
  return redistribute(x, layout, Layout::replicated(layout.shape(), layout.mesh()), mesh);
}

}  // namespace colossal::tensor
