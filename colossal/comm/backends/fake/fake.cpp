// SPDX-License-Identifier: Apache-2.0
// One rank of a group whose other members do not exist. Every member is taken to hold what this one holds, so
// results have the right shapes and harmless values; on meta tensors nothing happens at all.
#include <ATen/ATen.h>

#include "colossal/comm/backends/backends.h"

namespace colossal::comm {

namespace {

class FakeBackend final : public Backend {
 public:
  explicit FakeBackend(const Endpoint& endpoint) : size_(endpoint.size()), index_(endpoint.index) {}
  std::string_view name() const override { return "fake"; }

  Pending all_reduce(at::Tensor x, ReduceOp op) override {
    if (op == ReduceOp::sum) x.mul_(size_);
    return nullptr;
  }
  Pending all_gather(at::Tensor out, at::Tensor in) override { return repeat(out, in); }
  Pending reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) override {
    out.view(-1).copy_(in.view({size_, -1})[index_]);
    if (op == ReduceOp::sum) out.mul_(size_);
    return nullptr;
  }
  Pending all_to_all(at::Tensor out, at::Tensor in, const std::vector<int64_t>& out_splits,
                     const std::vector<int64_t>& in_splits) override {
    if (out_splits.empty()) return repeat(out, in.view({size_, -1})[index_]);
    out.zero_();
    return nullptr;
  }
  Pending broadcast(at::Tensor x, int root) override {
    if (root != index_) x.zero_();  // it may be fresh memory
    return nullptr;
  }
  Pending reduce(at::Tensor x, int root, ReduceOp op) override {
    return root == index_ ? all_reduce(x, op) : nullptr;
  }
  Pending gather(at::Tensor out, at::Tensor in, int root) override {
    return root == index_ ? repeat(out, in) : nullptr;
  }
  Pending scatter(at::Tensor out, at::Tensor in, int root) override {
    if (root == index_) {
      out.view(-1).copy_(in.view({size_, -1})[index_]);
    } else {
      out.zero_();
    }
    return nullptr;
  }
  Pending transfer(std::vector<Transfer> batch) override {
    for (Transfer& t : batch) {
      if (t.kind == Transfer::Kind::recv) t.tensor.zero_();
    }
    return nullptr;
  }
  Pending barrier() override { return nullptr; }
  void abort() noexcept override {}

 private:
  Pending repeat(const at::Tensor& out, const at::Tensor& piece) {
    if (out.numel() > 0) out.view({size_, -1}).copy_(piece.view({1, -1}).expand({size_, piece.numel()}));
    return nullptr;
  }

  int64_t size_;
  int64_t index_;
};

}  // namespace

std::unique_ptr<Backend> make_fake(const Endpoint& endpoint) {
  return std::make_unique<FakeBackend>(endpoint);
}

}  // namespace colossal::comm
