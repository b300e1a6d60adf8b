// SPDX-License-Identifier: Apache-2.0
// What carries the bytes of one group. Pure interface: collectives.h checks arguments, counts and records,
// then calls this.
//
// Contract for every call: tensors are contiguous, on the backend's device; sizes fit each other on this
// member; at least two members. Reductions come in f64 f32 f16 bf16 i64 i32 i16 i8 u8 (avg: floats only) and
// bool (max, min); moves in every dtype. Members should issue the same calls in the same order: a backend
// where a mismatch between members could crash or corrupt must find it and throw CommError on all of them. A
// backend moves bytes and nothing else. One backend object serves one member of one group and is used from
// one thread at a time.
#pragma once
#include <ATen/core/Tensor.h>

#include <chrono>
#include <memory>
#include <string_view>
#include <vector>

namespace colossal::comm {

enum class ReduceOp { sum, avg, max, min };

// An operation that was asked for. A backend may leave all of it to wait(), on the caller's thread, which is
// the fastest way for a synchronous call; start() asks that it proceeds without the caller (every
// asynchronous call does). wait() is called exactly once and throws CommError when a peer is lost or the
// timeout passes.
class PendingOp {
 public:
  virtual ~PendingOp() = default;
  virtual void start() {}
  virtual void wait() = 0;
};

// One transfer of a batch: `peer` is an index within the group.
struct Transfer {
  enum class Kind { send, recv } kind;
  at::Tensor tensor;
  int peer;
};

class Backend {
 public:
  using Pending = std::unique_ptr<PendingOp>;  // null: already complete
  virtual ~Backend() = default;

  virtual std::string_view name() const = 0;  // "gloo", "nccl", "local", "fake"

  virtual Pending all_reduce(at::Tensor x, ReduceOp op) = 0;                       // in place
  virtual Pending all_gather(at::Tensor out, at::Tensor in) = 0;                   // out: n x in, by index
  virtual Pending reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) = 0;  // in: n x out
  // Splits are counts of rows (dim 0), one per member; both empty means even.
  virtual Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                             const std::vector<int64_t>& in_splits) = 0;
  virtual Pending broadcast(at::Tensor x, int root) = 0;                 // in place
  virtual Pending reduce(at::Tensor x, int root, ReduceOp op) = 0;       // in place, valid on root
  virtual Pending gather(at::Tensor out, at::Tensor in, int root) = 0;   // out: root only, n x in
  virtual Pending scatter(at::Tensor out, at::Tensor in, int root) = 0;  // in: root only, n x out
  virtual Pending transfer(std::vector<Transfer> batch) = 0;             // grouped send / recv
  virtual Pending barrier() = 0;

  // Makes pending and future operations of this member fail at once; never blocks. Callable from any thread.
  virtual void abort() noexcept = 0;
};

}  // namespace colossal::comm
