// SPDX-License-Identifier: Apache-2.0
// The backend for ranks of one host on CPU tensors, threads and processes alike, over shared memory.
//
//   LocalBackend backend({.group = "data", .ranks = {0, 1}, .index = rank, .tell = ..., .hear = ...});
//   backend.all_reduce(x, ReduceOp::sum)->wait();
//
// wait() runs an operation on the caller's thread; after start() the backend's own thread runs it. Results do not depend on
// timing and are bit-identical on all members: reductions add in index order. After a CommError the group is unusable.
#pragma once
#include "colossal/comm/backend.h"
#include "colossal/comm/backends/local/collectives.h"
#include "colossal/comm/backends/local/mailman.h"
#include "colossal/comm/backends/local/worker.h"

namespace colossal::comm::local {

class LocalBackend final : public Backend {
 public:
  // `best` bounds how members may reach each other's memory.
  explicit LocalBackend(const Place& place, Reach::Way best = Reach::Way::processes);
  ~LocalBackend() override;

  std::string_view name() const override { return "local"; }
  Reach::Way way() const { return way_; }

  Pending all_reduce(at::Tensor x, ReduceOp op) override;
  Pending all_gather(at::Tensor out, at::Tensor in) override;
  Pending reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) override;
  Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                     const std::vector<int64_t>& in_splits) override;
  Pending broadcast(at::Tensor x, int root) override;
  Pending reduce(at::Tensor x, int root, ReduceOp op) override;
  Pending gather(at::Tensor out, at::Tensor in, int root) override;
  Pending scatter(at::Tensor out, at::Tensor in, int root) override;
  Pending transfer(std::vector<Transfer> batch) override;
  Pending barrier() override;
  void abort() noexcept override { session_.abort(); }

 private:
  template <class Body>
  class Operation;
  template <class Body>
  Pending operation(Body body);
  Reach::Way agree(Reach::Way best);

  Session session_;
  Mailman mailman_;
  Lockstep lockstep_;
  uint64_t probe_word_;
  Reach::Way way_;
  Collectives collectives_;
  Worker worker_;
};

}  // namespace colossal::comm::local
