// SPDX-License-Identifier: Apache-2.0
#include "colossal/parallel/data/gradient_reducer.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>

#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"

namespace colossal::parallel {

struct GradientReducer::Bucket {
  comm::Group group;
  at::Tensor flat;  // of this step: there when the first gradient has arrived
  at::TensorOptions like;
  int64_t numel = 0;
  std::vector<Slot*> slots;
  size_t completed_by = 0;  // position of the last of them
  size_t num_ready = 0;     // gradients that are complete in this step
};

struct GradientReducer::Slot {
  at::Tensor parameter;
  Bucket* bucket = nullptr;  // null: nobody to sum with, the gradient stays as autograd made it
  int64_t offset = 0;
  bool ready = false;

  at::Tensor view() const {
    return bucket->flat.narrow(0, offset, parameter.numel()).view(parameter.sizes());
  }
};

class GradientReducer::Hook final : public torch::autograd::PostAccumulateGradHook {
 public:
  Hook(GradientReducer& reducer, Slot& slot) : reducer_(reducer), slot_(slot) {}
  void operator()(const at::Tensor&) override { reducer_.on_gradient(slot_); }

 private:
  GradientReducer& reducer_;
  Slot& slot_;
};

namespace {

// The axes over which a gradient of this spec is a partial sum, in mesh order; those of size 1 need no sum.
comm::Axes axes_to_sum(const nn::ParameterSpec& spec, const comm::Mesh& mesh) {
  comm::Axes axes;
  for (const comm::Axis& axis : mesh.shape().axes()) {
    const bool named =
        std::find(spec.sum_axes.begin(), spec.sum_axes.end(), axis.name) != spec.sum_axes.end();
    if (axis.size > 1 && (named || axis.name == "data")) axes.push_back(axis.name);
  }
  return axes;
}

}  // namespace

GradientReducer::GradientReducer(const std::vector<nn::Parameter>& parameters, const comm::Mesh& mesh,
                                 const GradientReducerOptions& options)
    : options_(options) {
  struct Open {
    comm::Axes axes;
    at::ScalarType dtype;
    Bucket* bucket;
  };
  std::vector<Open> open;  // the bucket being filled, per set of axes and dtype
  const auto new_bucket = [&](const at::Tensor& parameter, const comm::Axes& axes) {
    buckets_.push_back(std::make_unique<Bucket>());
    buckets_.back()->group = mesh.group(axes);
    buckets_.back()->like = parameter.options().requires_grad(false);
    return buckets_.back().get();
  };
  const auto bucket_for = [&](const at::Tensor& parameter, const comm::Axes& axes) {
    const auto bytes = static_cast<int64_t>(parameter.nbytes());
    if (bytes >= std::min(options.alone_bytes, options.bucket_bytes)) return new_bucket(parameter, axes);
    const at::ScalarType dtype = parameter.scalar_type();
    auto found = std::find_if(open.begin(), open.end(),
                              [&](const Open& o) { return o.axes == axes && o.dtype == dtype; });
    if (found == open.end()) found = open.insert(open.end(), {axes, dtype, new_bucket(parameter, axes)});
    if (found->bucket->numel * parameter.element_size() + bytes > options.bucket_bytes)
      found->bucket = new_bucket(parameter, axes);
    return found->bucket;
  };
  for (auto it = parameters.rbegin(); it != parameters.rend(); ++it) {
    auto slot = std::make_unique<Slot>();
    slot->parameter = it->tensor;
    if (const comm::Axes axes = axes_to_sum(it->spec, mesh); !axes.empty()) {
      slot->bucket = bucket_for(it->tensor, axes);
      slot->offset = slot->bucket->numel;
      slot->bucket->numel += it->tensor.numel();
      slot->bucket->slots.push_back(slot.get());
      slot->bucket->completed_by = slots_.size();
    }
    torch::autograd::impl::set_post_acc_grad_hooks(slot->parameter, std::make_unique<Hook>(*this, *slot));
    slots_.push_back(std::move(slot));
  }
  std::sort(buckets_.begin(), buckets_.end(),
            [](const auto& a, const auto& b) { return a->completed_by < b->completed_by; });
}

GradientReducer::~GradientReducer() {
  for (const auto& slot : slots_) torch::autograd::impl::set_post_acc_grad_hooks(slot->parameter, nullptr);
}

int64_t GradientReducer::reduced_bytes() const {
  int64_t bytes = 0;
  for (const auto& bucket : buckets_)
    bytes += bucket->numel * static_cast<int64_t>(bucket->like.dtype().itemsize());
  return bytes;
}

void GradientReducer::begin_step() {
  for (const auto& slot : slots_) {
    slot->parameter.mutable_grad().reset();
    slot->ready = false;
  }
  for (const auto& bucket : buckets_) {
    bucket->flat.reset();
    bucket->num_ready = 0;
  }
  works_.clear();
  next_ = 0;
}

void GradientReducer::begin_backward(Pass pass) { pass_ = pass; }

void GradientReducer::on_gradient(Slot& slot) {
  at::NoGradGuard no_grad;
  at::Tensor& gradient = slot.parameter.mutable_grad();
  if (slot.bucket != nullptr) {
    Bucket& bucket = *slot.bucket;
    // A gradient that fills a bucket is the bucket.
    const bool whole = bucket.slots.size() == 1 && gradient.is_contiguous();
    if (!bucket.flat.defined())
      bucket.flat = whole ? gradient.view({bucket.numel}) : at::empty({bucket.numel}, bucket.like);
    const at::Tensor view = slot.view();
    if (gradient.data_ptr() != view.data_ptr()) {
      view.copy_(gradient);
      gradient = view;
    }
    if (pass_ == Pass::reduce && !slot.ready) {
      slot.ready = true;
      ++bucket.num_ready;
    }
  }
  if (pass_ == Pass::reduce && options_.when == GradientReducerOptions::When::during_backward) send_ready();
}

// Only ever from the front: the order of the sums is part of the protocol between ranks.
void GradientReducer::send_ready() {
  while (next_ < buckets_.size() && buckets_[next_]->num_ready == buckets_[next_]->slots.size())
    send(*buckets_[next_++]);
}

void GradientReducer::send(Bucket& bucket) {
  works_.push_back(comm::all_reduce_async(bucket.flat, bucket.group));
}

void GradientReducer::finish() {
  at::NoGradGuard no_grad;
  for (const auto& slot : slots_) {
    at::Tensor& gradient = slot->parameter.mutable_grad();
    if (gradient.defined()) continue;
    if (slot->bucket == nullptr) {
      gradient = at::zeros_like(slot->parameter);
      continue;
    }
    Bucket& bucket = *slot->bucket;
    if (!bucket.flat.defined()) bucket.flat = at::empty({bucket.numel}, bucket.like);
    gradient = slot->view().zero_();
  }
  while (next_ < buckets_.size()) send(*buckets_[next_++]);
  for (comm::Work& work : works_) work.wait();
  works_.clear();
}

}  // namespace colossal::parallel
