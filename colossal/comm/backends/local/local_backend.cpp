// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/local_backend.h"

#include "colossal/base/error.h"

namespace colossal::comm::local {

// A collective that was asked for: `body(lane)` does it.
template <class Body>
class LocalBackend::Operation final : public PendingOp, private Job {
 public:
  Operation(LocalBackend& backend, Body body) : backend_(backend), body_(std::move(body)) {}
  ~Operation() override {
    if (started_) {
      backend_.worker_.finish(*this);
    }
  }
  void start() override {
    if (!started_) {
      started_ = true;
      backend_.worker_.start(*this);
    }
  }
  void wait() override {
    if (started_) {
      backend_.worker_.wait(*this);
    } else {
      backend_.worker_.drain();
      body_(Lane::caller);
    }
  }

 private:
  void run() override { body_(Lane::overlapped); }

  LocalBackend& backend_;
  Body body_;
  bool started_ = false;
};

namespace {

class PendingBatch final : public PendingOp {
 public:
  PendingBatch(Mailman& mailman, std::vector<Transfer> transfers) : batch_(mailman, std::move(transfers)) {}
  void wait() override { batch_.wait(); }

 private:
  Mailman::Batch batch_;
};

}  // namespace

template <class Body>
Backend::Pending LocalBackend::operation(Body body) {
  return std::make_unique<Operation<Body>>(*this, std::move(body));
}

LocalBackend::LocalBackend(const Place& place, Reach::Way best)
    : session_(place),
      mailman_(session_),
      lockstep_(session_, mailman_),
      probe_word_(session_.segment().nonce()),
      way_(agree(best)),
      collectives_(session_, lockstep_, Reach(session_, way_)) {
  mailman_.set_reach(Reach(session_, way_));
}

LocalBackend::~LocalBackend() {
  // Whatever is still queued was never waited for: the group ends here.
  if (!worker_.idle()) {
    session_.abort();
  }
}

// The first operation of a group: what every member can do is what all will do.
Reach::Way LocalBackend::agree(Reach::Way best) {
  session_.self().probe = reinterpret_cast<uint64_t>(&probe_word_);
  lockstep_.open(Lane::caller, {.op = Op::join});
  Reach::Way way = best == Reach::Way::none ? best : Reach::probe(session_);
  lockstep_.open(Lane::caller,
                 {.op = Op::join, .out = reinterpret_cast<const void*>(static_cast<uintptr_t>(way))});
  for (int i = 0; i < session_.size(); ++i) {
    way = lockstep_.said(i).out == static_cast<uint64_t>(Reach::Way::none) ? Reach::Way::none : way;
  }
  return way;
}

Backend::Pending LocalBackend::all_reduce(at::Tensor x, ReduceOp op) {
  return operation([this, x = std::move(x), op](Lane lane) { collectives_.all_reduce(lane, x, op); });
}

Backend::Pending LocalBackend::all_gather(at::Tensor out, at::Tensor in) {
  return operation([this, out = std::move(out), in = std::move(in)](Lane lane) {
    collectives_.all_gather(lane, out, in);
  });
}

Backend::Pending LocalBackend::reduce_scatter(at::Tensor out, at::Tensor in, ReduceOp op) {
  return operation([this, out = std::move(out), in = std::move(in), op](Lane lane) {
    collectives_.reduce_scatter(lane, out, in, op);
  });
}

Backend::Pending LocalBackend::all_to_all(at::Tensor out, at::Tensor in,
                                          const std::vector<int64_t>& out_splits,
                                          const std::vector<int64_t>& in_splits) {
  return operation([this, out = std::move(out), in = std::move(in), out_splits, in_splits](Lane lane) {
    collectives_.all_to_all(lane, out, in, out_splits, in_splits);
  });
}

Backend::Pending LocalBackend::broadcast(at::Tensor x, int root) {
  return operation([this, x = std::move(x), root](Lane lane) { collectives_.broadcast(lane, x, root); });
}

Backend::Pending LocalBackend::reduce(at::Tensor x, int root, ReduceOp op) {
  return operation([this, x = std::move(x), root, op](Lane lane) { collectives_.reduce(lane, x, root, op); });
}

Backend::Pending LocalBackend::gather(at::Tensor out, at::Tensor in, int root) {
  return operation([this, out = std::move(out), in = std::move(in), root](Lane lane) {
    collectives_.gather(lane, out, in, root);
  });
}

Backend::Pending LocalBackend::scatter(at::Tensor out, at::Tensor in, int root) {
  return operation([this, out = std::move(out), in = std::move(in), root](Lane lane) {
    collectives_.scatter(lane, out, in, root);
  });
}

Backend::Pending LocalBackend::transfer(std::vector<Transfer> batch) {
  return std::make_unique<PendingBatch>(mailman_, std::move(batch));
}

Backend::Pending LocalBackend::barrier() {
  return operation([this](Lane lane) { collectives_.barrier(lane); });
}

}  // namespace colossal::comm::local
