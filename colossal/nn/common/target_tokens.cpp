// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/target_tokens.h"

#include <ATen/ops/argsort.h>

#include "colossal/nn/common/parts.h"
#include "colossal/nn/functional/cross_entropy.h"

namespace colossal::nn {

TargetsLayer::Targets TargetTokens::forward(const at::Tensor& x, const at::Tensor& labels) {
  const comm::Mesh& mesh = context_->mesh;
  const Placement& stream = context_->stream;
  const int64_t ignored = functional::kIgnoredLabel;
  const int64_t rows = mesh.shape().axes_size(stream.batch),
                columns = mesh.shape().axes_size(stream.sequence);
  at::Tensor all =
      padded(labels, 0, padded_size(labels.size(0), stream.batch, mesh), static_cast<double>(ignored));
  all = padded(all, 1, padded_size(labels.size(1), stream.sequence, mesh), static_cast<double>(ignored));
  const int64_t b = all.size(0) / rows, s = all.size(1) / columns;
  const at::Tensor parts = all.view({rows, b, columns, s}).transpose(1, 2).reshape({rows, columns, b * s});
  const at::Tensor none = parts.eq(ignored);
  const int64_t most = none.is_meta() ? b * s : none.logical_not().sum(2).max().item<int64_t>();
  if (most == b * s) return {x, labels};
  const int64_t places = std::max<int64_t>(1, most);
  const at::Tensor chosen =
      none.argsort(/*stable=*/true, /*dim=*/2).narrow(2, 0, places);  // targets first, in order
  const at::Tensor own = chosen[mesh.shape().group_index(mesh.rank(), stream.batch)]
                               [mesh.shape().group_index(mesh.rank(), stream.sequence)];
  return {x.reshape({b * s, -1}).index_select(0, own).unsqueeze(0),
          parts.gather(2, chosen).view({rows, columns * places})};
}

}  // namespace colossal::nn
