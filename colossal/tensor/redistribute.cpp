// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/redistribute.h"

#include <fmt/ranges.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"

namespace colossal::tensor {
namespace {

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
  at::Tensor piece = full;
  for (size_t d = 0; d < slice.size.size(); ++d) {
    piece = piece.narrow(static_cast<int64_t>(d), slice.offset[d], slice.size[d]);
  }
  return piece;
}

at::Tensor gather_full(const at::Tensor& x, const Layout& layout, const comm::Mesh& mesh) {
  return redistribute(x, layout, Layout::replicated(layout.shape(), layout.mesh()), mesh);
}

}  // namespace colossal::tensor
