// SPDX-License-Identifier: Apache-2.0
// Collectives as free functions over tensors. No autograd here (see autograd.h); all dtypes.
//
//   all_reduce(x, group);                          // x: any shape, in place, sum
//   at::Tensor full = all_gather(shard, group, 1); // [b, h/n] -> [b, h]
//
// Arguments are checked before the backend sees them: contiguous, right device, sizes that divide; ShapeError
// names op, group and the offending size. Non-contiguous inputs of the functions that return a new tensor are
// copied; in-place functions copy in and back; asynchronous ones with an output of the caller's refuse them. Every
// call is counted and recorded (recorder.h). Volumes (elements sent per rank, S = full payload, n = group size):
// all_reduce 2(n-1)/n S; all_gather, reduce_scatter and all_to_all (n-1)/n S; broadcast and reduce S on all but
// the last of the chain.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "colossal/base/json.h"
#include "colossal/comm/backend.h"
#include "colossal/comm/group.h"
#include "colossal/comm/work.h"

namespace colossal::comm {

void all_reduce(const at::Tensor& x, const Group& group, ReduceOp op = ReduceOp::sum);
Work all_reduce_async(const at::Tensor& x, const Group& group, ReduceOp op = ReduceOp::sum);

// [.., d, ..] on each of n members -> [.., n d, ..], pieces in index order along `dim`.
at::Tensor all_gather(const at::Tensor& x, const Group& group, int64_t dim = 0);
// `out` is contiguous [n d0, ...] for `in` contiguous [d0, ...].
Work all_gather_async(const at::Tensor& out, const at::Tensor& in, const Group& group);

// [.., n d, ..] -> [.., d, ..]: the reduction of piece `index()` along `dim`.
at::Tensor reduce_scatter(const at::Tensor& x, const Group& group, int64_t dim = 0,
                          ReduceOp op = ReduceOp::sum);
Work reduce_scatter_async(const at::Tensor& out, const at::Tensor& in, const Group& group,
                          ReduceOp op = ReduceOp::sum);

// Even: splits `split_dim` into n pieces, sends piece i to member i, joins what arrives along `join_dim`.
at::Tensor all_to_all(const at::Tensor& x, const Group& group, int64_t split_dim = 0, int64_t join_dim = 0);
// Uneven, along dim 0: row counts per member. Both sides must agree; they are not exchanged.
at::Tensor all_to_all(const at::Tensor& x, const Group& group, const std::vector<int64_t>& send_rows,
                      const std::vector<int64_t>& recv_rows);
// Both along dim 0, on contiguous tensors that share no memory. Even: `out` is of the shape of `in`, [n d0, ...].
Work all_to_all_async(const at::Tensor& out, const at::Tensor& in, const Group& group);
// Uneven: `out` is [sum of recv_rows, ...] for `in` [sum of send_rows, ...].
Work all_to_all_async(const at::Tensor& out, const at::Tensor& in, const Group& group,
                      const std::vector<int64_t>& send_rows, const std::vector<int64_t>& recv_rows);

void broadcast(const at::Tensor& x, const Group& group, int root = 0);
Work broadcast_async(const at::Tensor& x, const Group& group, int root = 0);
void reduce(const at::Tensor& x, const Group& group, int root = 0, ReduceOp op = ReduceOp::sum);
Work reduce_async(const at::Tensor& x, const Group& group, int root = 0, ReduceOp op = ReduceOp::sum);
// Root: [n d0, ...]; elsewhere an undefined tensor.
at::Tensor gather(const at::Tensor& x, const Group& group, int root = 0);
// `out` is contiguous [n d0, ...] for contiguous `in` [d0, ...]; it is written on the root only, and may be undefined elsewhere.
Work gather_async(const at::Tensor& out, const at::Tensor& in, const Group& group, int root = 0);
// `x` is read on the root only ([n d0, ...]); `like` gives shape [d0, ...] and dtype of the piece.
at::Tensor scatter(const at::Tensor& x, const at::Tensor& like, const Group& group, int root = 0);
// `in` is contiguous [n d0, ...] for contiguous `out` [d0, ...]; it is read on the root only, and may be undefined elsewhere.
Work scatter_async(const at::Tensor& out, const at::Tensor& in, const Group& group, int root = 0);

void send(const at::Tensor& x, const Group& group, int to);
void recv(const at::Tensor& x, const Group& group, int from);  // in place
Work transfer_async(std::vector<Transfer> batch, const Group& group);

void barrier(const Group& group);
Work barrier_async(const Group& group);  // its wait() returns once every member has made the call

// Small JSON values; sizes may differ between members.
Json broadcast_json(const Json& value, const Group& group, int root = 0);
std::vector<Json> all_gather_json(const Json& value, const Group& group);

}  // namespace colossal::comm
