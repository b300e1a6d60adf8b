// SPDX-License-Identifier: Apache-2.0
// Gloo over TCP, from inside libtorch.
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "colossal/base/error.h"
#include "colossal/comm/backends/backends.h"
#include "colossal/comm/store_state.h"

namespace colossal::comm {

namespace {

using C10dWork = c10::intrusive_ptr<c10d::Work>;

class GlooOp final : public PendingOp {
 public:
  explicit GlooOp(std::vector<C10dWork> works, std::function<void()> finish = {})
      : works_(std::move(works)), finish_(std::move(finish)) {}
  void wait() override {
    for (const C10dWork& work : works_) {
      if (work != nullptr) work->wait();
    }
    if (finish_) finish_();
  }

 private:
  std::vector<C10dWork> works_;
  std::function<void()> finish_;
};

c10d::ReduceOp to_c10d(ReduceOp op) {
  switch (op) {
    case ReduceOp::sum: return c10d::ReduceOp::SUM;
    case ReduceOp::avg: return c10d::ReduceOp::AVG;
    case ReduceOp::max: return c10d::ReduceOp::MAX;
    case ReduceOp::min: return c10d::ReduceOp::MIN;
  }
  throw InternalError("reduce op");
}

// The same memory as flat bytes: moves do not depend on what Gloo knows of dtypes.
at::Tensor as_bytes(const at::Tensor& x) {
  return at::from_blob(x.data_ptr(), {static_cast<int64_t>(x.nbytes())}, at::kByte);
}

class GlooBackend final : public Backend {
 public:
  explicit GlooBackend(const Endpoint& endpoint) : size_(endpoint.size()), index_(endpoint.index) {
    auto options = c10d::ProcessGroupGloo::Options::create(endpoint.timeout);
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(endpoint.interface_address));
    options->threads = 2;
    gloo_ = c10::make_intrusive<c10d::ProcessGroupGloo>(endpoint.store.state().store, index_, size_, options);
  }
  std::string_view name() const override { return "gloo"; }

  Pending all_reduce(at::Tensor x, ReduceOp op) override {
    std::vector<at::Tensor> list{x};
    c10d::AllreduceOptions options;
    options.reduceOp = to_c10d(op);
    return make(gloo_->allreduce(list, options));
  }
  Pending all_gather(at::Tensor out, at::Tensor in) override {
    at::Tensor to = as_bytes(out), from = as_bytes(in);
    return make(gloo_->_allgather_base(to, from));
  }
  Pending reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) override {
    c10d::ReduceScatterOptions options;
    options.reduceOp = to_c10d(op);
    at::Tensor to = out.view(-1), from = in.view(-1);
    return make(gloo_->_reduce_scatter_base(to, from, options));
  }
  Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                     const std::vector<int64_t>& in_splits) override {
    std::vector<int64_t> outs = out_splits, ins = in_splits;
    if (outs.empty()) {
      at::Tensor to = as_bytes(out), from = as_bytes(in);
      return make(gloo_->alltoall_base(to, from, outs, ins));
    }
    return make(gloo_->alltoall_base(out, in, outs, ins));
  }
  Pending broadcast(at::Tensor x, int root) override {
    std::vector<at::Tensor> list{as_bytes(x)};
    c10d::BroadcastOptions options;
    options.rootRank = root;
    return make(gloo_->broadcast(list, options));
  }
  Pending reduce(at::Tensor x, int root, ReduceOp op) override {
    std::vector<at::Tensor> list{x};
    c10d::ReduceOptions options;
    options.rootRank = root;
    options.reduceOp = to_c10d(op);
    return make(gloo_->reduce(list, options));
  }
  Pending gather(at::Tensor out, at::Tensor in, int root) override {
    std::vector<at::Tensor> from{as_bytes(in)};
    std::vector<std::vector<at::Tensor>> to;
    if (index_ == root) to.push_back(as_bytes(out).chunk(size_));
    c10d::GatherOptions options;
    options.rootRank = root;
    return make(gloo_->gather(to, from, options));
  }
  Pending scatter(at::Tensor out, at::Tensor in, int root) override {
    std::vector<at::Tensor> to{as_bytes(out)};
    std::vector<std::vector<at::Tensor>> from;
    if (index_ == root) from.push_back(as_bytes(in).chunk(size_));
    c10d::ScatterOptions options;
    options.rootRank = root;
    return make(gloo_->scatter(to, from, options));
  }
  Pending transfer(std::vector<Transfer> batch) override {
    std::vector<C10dWork> works;
    for (Transfer& t : batch) {
      std::vector<at::Tensor> list{as_bytes(t.tensor)};
      works.push_back(t.kind == Transfer::Kind::send ? gloo_->send(list, t.peer, 0)
                                                     : gloo_->recv(list, t.peer, 0));
    }
    return std::make_unique<GlooOp>(std::move(works));
  }
  Pending barrier() override { return make(gloo_->barrier()); }
  void abort() noexcept override {}

 private:
  static Pending make(C10dWork work) {
    return std::make_unique<GlooOp>(std::vector<C10dWork>{std::move(work)});
  }

  int size_;
  int index_;
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo_;
};

}  // namespace

std::unique_ptr<Backend> make_gloo(const Endpoint& endpoint) {
  return std::make_unique<GlooBackend>(endpoint);
}

}  // namespace colossal::comm
