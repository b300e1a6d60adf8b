// SPDX-License-Identifier: Apache-2.0
// CUDA tensors through NCCL. Operations are enqueued at once on NCCL's own stream; wait() makes the current stream wait for them and
// does not block the host. What NCCL lacks (gather, scatter, uneven exchanges of rows) is composed of grouped sends and receives.
#include <c10/cuda/CUDAGuard.h>

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "colossal/base/error.h"
#include "colossal/comm/backends/backends.h"
#include "colossal/comm/store_state.h"

namespace colossal::comm {
namespace {

using WorkPtr = c10::intrusive_ptr<c10d::Work>;

class NcclPending final : public PendingOp {
 public:
  explicit NcclPending(WorkPtr work) : work_(std::move(work)) {}
  void wait() override {
    try {
      work_->wait();
    } catch (const std::exception& error) {
      throw CommError(error.what());
    }
  }

 private:
  WorkPtr work_;
};

c10d::ReduceOp to_c10d(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum: return c10d::ReduceOp::SUM;
    case ReduceOp::avg: return c10d::ReduceOp::AVG;
    case ReduceOp::max: return c10d::ReduceOp::MAX;
    case ReduceOp::min: return c10d::ReduceOp::MIN;
  }
  throw InternalError("unknown reduction");
}

class NcclBackend final : public Backend {
 public:
  explicit NcclBackend(const Endpoint& endpoint)
      : device_(endpoint.device), index_(endpoint.index), size_(endpoint.size()) {
    auto options = c10d::ProcessGroupNCCL::Options::create();
    options->timeout = endpoint.timeout;
    // One member per process and device; the store's keys are this group's own.
    group_ =
        c10::make_intrusive<c10d::ProcessGroupNCCL>(endpoint.store.state().store, index_, size_, options);
    c10::cuda::CUDAGuard guard(device_);
    group_->eagerConnectSingleDevice(device_);
  }
  ~NcclBackend() override {
    try {
      group_->shutdown();
    } catch (...) {
      // The process is ending or the group was aborted: nobody is left to tell.
    }
  }

  std::string_view name() const override { return "nccl"; }

  Pending all_reduce(at::Tensor x, ReduceOp op) override {
    c10d::AllreduceOptions options;
    options.reduceOp = to_c10d(op);
    std::vector<at::Tensor> tensors{x};
    return pending([&] { return group_->allreduce(tensors, options); });
  }
  Pending all_gather(at::Tensor out, at::Tensor in) override {
    return pending([&] { return group_->_allgather_base(out, in); });
  }
  Pending reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) override {
    c10d::ReduceScatterOptions options;
    options.reduceOp = to_c10d(op);
    return pending([&] { return group_->_reduce_scatter_base(out, in, options); });
  }
  Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                     const std::vector<int64_t>& in_splits) override {
    std::vector<int64_t> to = out_splits, from = in_splits;
    return pending([&] { return group_->alltoall_base(out, in, to, from, c10d::AllToAllOptions()); });
  }
  Pending broadcast(at::Tensor x, int root) override {
    c10d::BroadcastOptions options;
    options.rootRank = root;
    std::vector<at::Tensor> tensors{x};
    return pending([&] { return group_->broadcast(tensors, options); });
  }
  Pending reduce(at::Tensor x, int root, ReduceOp op) override {
    c10d::ReduceOptions options;
    options.reduceOp = to_c10d(op);
    options.rootRank = root;
    std::vector<at::Tensor> tensors{x};
    return pending([&] { return group_->reduce(tensors, options); });
  }
  Pending gather(at::Tensor out, at::Tensor in, int root) override {
    if (index_ != root) return transfer({{Transfer::Kind::send, in, root}});
    const std::vector<at::Tensor> pieces = out.chunk(size_);
    std::vector<Transfer> batch;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != root) batch.push_back({Transfer::Kind::recv, pieces[peer], peer});
    }
    pieces[root].view_as(in).copy_(in);
    return transfer(std::move(batch));
  }
  Pending scatter(at::Tensor out, at::Tensor in, int root) override {
    if (index_ != root) return transfer({{Transfer::Kind::recv, out, root}});
    const std::vector<at::Tensor> pieces = in.chunk(size_);
    std::vector<Transfer> batch;
    for (int peer = 0; peer < size_; ++peer) {
      if (peer != root) batch.push_back({Transfer::Kind::send, pieces[peer], peer});
    }
    out.copy_(pieces[root].view_as(out));
    return transfer(std::move(batch));
  }
  Pending transfer(std::vector<Transfer> batch) override {
    return pending([&] {
      group_->startCoalescing();
      for (Transfer& t : batch) {
        std::vector<at::Tensor> tensors{t.tensor};
        if (t.kind == Transfer::Kind::send) {
          group_->send(tensors, t.peer, 0);
        } else {
          group_->recv(tensors, t.peer, 0);
        }
      }
      return group_->endCoalescing();
    });
  }
  Pending barrier() override {
    c10d::BarrierOptions options;
    options.device = device_;
    return pending([&] { return group_->barrier(options); });
  }

  void abort() noexcept override {
    try {
      group_->abort();
    } catch (...) {
      // Already aborted.
    }
  }

 private:
  // NCCL reports wrong use by exceptions at the call and lost peers at wait(); both become CommError. A null work is complete.
  template <class Call>
  Pending pending(const Call& call) {
    c10::cuda::CUDAGuard guard(device_);
    try {
      WorkPtr work = call();
      return work ? std::make_unique<NcclPending>(std::move(work)) : nullptr;
    } catch (const c10::Error& error) {
      throw CommError(error.what_without_backtrace());
    }
  }

  at::Device device_;
  int index_;
  int size_;
  c10::intrusive_ptr<c10d::ProcessGroupNCCL> group_;
};

}  // namespace

std::unique_ptr<Backend> make_nccl(const Endpoint& endpoint) {
  return std::make_unique<NcclBackend>(endpoint);
}

}  // namespace colossal::comm
