// SPDX-License-Identifier: Apache-2.0
#include "colossal/nn/common/target_tokens.h"

#include <ATen/ops/argsort.h>

#include "colossal/nn/common/parts.h"
#include "colossal/nn/functional/cross_entropy.h"

namespace colossal::nn {

// [rows, columns, places]: of every part of the replica, padded.
at::Tensor TargetTokens::in_parts(const at::Tensor& labels, double padding) const {
  const comm::Mesh& mesh = context_->mesh;
  const Placement& stream = context_->stream;
  const int64_t rows = mesh.shape().axes_size(stream.batch),
                columns = mesh.shape().axes_size(stream.sequence);
  const at::Tensor tall = padded(labels, 0, padded_size(labels.size(0), stream.batch, mesh), padding);
  const at::Tensor all = padded(tall, 1, padded_size(labels.size(1), stream.sequence, mesh), padding);
  const int64_t b = all.size(0) / rows, s = all.size(1) / columns;
  return all.view({rows, b, columns, s}).transpose(1, 2).reshape({rows, columns, b * s});
}

// Of the part with the most.
int64_t TargetTokens::num_targets(const at::Tensor& none) const {
  if (!none.is_meta()) return none.logical_not().sum(2).max().item<int64_t>();
  const at::Tensor& known = context_->state->targets;
  return known.defined() ? in_parts(known, 0).sum(2).max().item<int64_t>() : none.size(2);
}

TargetsLayer::Targets TargetTokens::forward(const at::Tensor& x, const at::Tensor& labels) {
  const comm::Mesh& mesh = context_->mesh;
  const Placement& stream = context_->stream;
  const at::Tensor parts = in_parts(labels, static_cast<double>(functional::kIgnoredLabel));
  const at::Tensor none = parts.eq(functional::kIgnoredLabel);
  const int64_t most = num_targets(none), all = none.size(2);
  if (most == all) return {x, labels};
  const int64_t places = std::max<int64_t>(1, most);
  const at::Tensor chosen =
      none.argsort(/*stable=*/true, /*dim=*/2).narrow(2, 0, places);  // targets first, in order
  const at::Tensor own = chosen[mesh.shape().group_index(mesh.rank(), stream.batch)]
                               [mesh.shape().group_index(mesh.rank(), stream.sequence)];
  return {x.reshape({all, -1}).index_select(0, own).unsqueeze(0),
          parts.gather(2, chosen).view({parts.size(0), parts.size(1) * places})};
}

}  // namespace colossal::nn
