// SPDX-License-Identifier: Apache-2.0
// The collective algorithms over rounds. Small payloads travel inside the first round; large ones chunk by chunk through
// the staging halves (copying in, reducing and copying out overlap between members), or, where members can read each
// other's tensors, by slices straight from there.
//
//   Collectives collectives(session, lockstep, way);
//   collectives.all_reduce(Lane::caller, x, ReduceOp::sum);
//
// Arguments as in backend.h. Every function returns when the tensors may be used again. One thread at a time.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "colossal/comm/backend.h"
#include "colossal/comm/backends/local/lockstep.h"
#include "colossal/comm/backends/local/reach.h"

namespace colossal::comm::local {

class Collectives {
 public:
  Collectives(Session& session, Lockstep& lockstep, Reach reach)
      : session_(session), lockstep_(lockstep), reach_(reach), n_(session.size()), me_(session.index()) {}

  void all_reduce(Lane lane, const at::Tensor& x, ReduceOp op);
  void reduce(Lane lane, const at::Tensor& x, int root, ReduceOp op);
  void reduce_scatter(Lane lane, const at::Tensor& out, const at::Tensor& in, ReduceOp op);
  void all_gather(Lane lane, const at::Tensor& out, const at::Tensor& in);
  void gather(Lane lane, const at::Tensor& out, const at::Tensor& in, int root);
  void broadcast(Lane lane, const at::Tensor& x, int root);
  void scatter(Lane lane, const at::Tensor& out, const at::Tensor& in, int root);
  void all_to_all(Lane lane, const at::Tensor& out, const at::Tensor& in,
                  const std::vector<int64_t>& out_rows, const std::vector<int64_t>& in_rows);
  void barrier(Lane lane);

 private:
  struct Reduction;  // dtype, op, item size
  void reduce_small(Lane lane, const Lockstep::Call& call, const Reduction& how, void* x);
  void reduce_at_root(Lane lane, const Lockstep::Call& call, const Reduction& how, std::byte* x);
  void reduce_staged(Lane lane, const Lockstep::Call& call, const Reduction& how, std::byte* x, int root);
  void reduce_direct(Lane lane, const Lockstep::Call& call, const Reduction& how, std::byte* x);
  void reduce_remote(const Reduction& how, std::byte* out, const std::byte* own, int64_t offset,
                     int64_t bytes);
  void gather_pieces(Lane lane, const Lockstep::Call& call, std::byte* out, const std::byte* in,
                     int64_t piece);
  void exchange_pieces(Lane lane, const Lockstep::Call& call, std::byte* out, const std::byte* in,
                       const std::vector<int64_t>& out_bytes, const std::vector<int64_t>& in_bytes);
  void compare_splits(int64_t row_bytes, std::vector<int64_t>& sends);
  bool direct(int64_t bytes) const;
  std::byte* scratch(size_t bytes);

  Session& session_;
  Lockstep& lockstep_;
  Reach reach_;
  int n_;
  int me_;
  std::vector<std::byte> scratch_;
};

}  // namespace colossal::comm::local
