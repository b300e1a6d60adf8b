// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/cast_cache.h"

#include <ATen/core/grad_mode.h>

namespace colossal::tensor {
namespace {

// Hangs on the weight's TensorImpl (the slot that device backends use for their own metadata), so it lives
// exactly as long.
struct CastSlot : c10::BackendMeta {
  at::Tensor copy;
  const void* data = nullptr;
  uint32_t version = 0;

  // Shallow copies of the weight (detach, variable_data) may get their own version counter: they start
  // without a cast.
  c10::intrusive_ptr<c10::BackendMeta> clone(const c10::intrusive_ptr<c10::BackendMeta>&) const override {
    return c10::make_intrusive<CastSlot>();
  }
};

// Tensors without a version counter (inference mode) cannot tell when they change, so nothing is cached for
// them.
bool cacheable(const at::Tensor& weight) { return !weight.is_inference(); }

CastSlot* slot_of(const at::Tensor& weight) {
  return dynamic_cast<CastSlot*>(weight.unsafeGetTensorImpl()->get_backend_meta());
}

}  // namespace

at::Tensor find_cast(const at::Tensor& weight, at::ScalarType dtype) {
  if (!cacheable(weight)) return {};
  const CastSlot* slot = slot_of(weight);
  if (slot == nullptr || !slot->copy.defined() || slot->copy.scalar_type() != dtype) return {};
  if (slot->data != weight.const_data_ptr() || slot->version != weight._version()) return {};
  if (slot->copy.sizes() != weight.sizes()) return {};
  return slot->copy;
}

at::Tensor cached_cast(const at::Tensor& weight, at::ScalarType dtype) {
  if (weight.scalar_type() == dtype) return weight.detach();
  at::Tensor copy = find_cast(weight, dtype);
  if (copy.defined()) return copy;
  at::NoGradGuard no_grad;
  const CastSlot* slot = cacheable(weight) ? slot_of(weight) : nullptr;
  const bool reusable = slot != nullptr && slot->copy.defined() && slot->copy.scalar_type() == dtype &&
                        slot->copy.sizes() == weight.sizes() && slot->copy.use_count() == 1;
  copy = reusable ? slot->copy.copy_(weight) : weight.detach().to(dtype);
  if (cacheable(weight)) store_cast(weight, copy);
  return copy;
}

void store_cast(const at::Tensor& weight, at::Tensor copy) {
  if (!cacheable(weight)) return;
  CastSlot* slot = slot_of(weight);
  if (slot == nullptr) {
    auto fresh = c10::make_intrusive<CastSlot>();
    slot = fresh.get();
    weight.unsafeGetTensorImpl()->set_backend_meta(fresh);
  }
  slot->copy = std::move(copy);
  slot->data = weight.const_data_ptr();
  slot->version = weight._version();
}

void drop_cast(const at::Tensor& weight) {
  if (CastSlot* slot = slot_of(weight)) slot->copy.reset();
}

}  // namespace colossal::tensor
