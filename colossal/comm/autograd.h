// SPDX-License-Identifier: Apache-2.0
// Collectives that autograd sees: forward does one thing, backward its conjugate.
//
//   at::Tensor y = copy_to(x, tensor_group);     // identity forward, all_reduce backward
//
// Shapes and errors are those of the collectives. A group of one is the identity in both directions. Each is
// a linear map and its backward is the adjoint map, itself differentiable. Thread safety: as collectives.h.
#pragma once
#include <ATen/core/Tensor.h>

#include "colossal/comm/group.h"

namespace colossal::comm {

at::Tensor copy_to(const at::Tensor& x, const Group& group);          // identity      | all_reduce
at::Tensor reduce_from(const at::Tensor& x, const Group& group);      // all_reduce    | identity
at::Tensor all_reduce_both(const at::Tensor& x, const Group& group);  // all_reduce    | all_reduce
at::Tensor gather_from(const at::Tensor& x, const Group& group,
                       int64_t dim);  // all_gather    | reduce_scatter
at::Tensor scatter_sum_to(const at::Tensor& x, const Group& group,
                          int64_t dim);                                      // reduce_scatter| all_gather
at::Tensor split_to(const at::Tensor& x, const Group& group, int64_t dim);   // own piece     | all_gather
at::Tensor join_from(const at::Tensor& x, const Group& group, int64_t dim);  // all_gather    | own piece
at::Tensor exchange(const at::Tensor& x, const Group& group, int64_t split_dim,
                    int64_t join_dim);  // all_to_all, both ways
at::Tensor broadcast_from(const at::Tensor& x, const Group& group,
                          int root);                                      // broadcast     | reduce to root
at::Tensor reduce_to(const at::Tensor& x, const Group& group, int root);  // reduce to root| broadcast

}  // namespace colossal::comm
