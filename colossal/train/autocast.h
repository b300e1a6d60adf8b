// SPDX-License-Identifier: Apache-2.0
// Mixed precision for modules that are not made by a LayerFactory: ATen casts inputs of matrix products to `dtype`.
//
//   AutocastScope scope(at::kCPU, at::kBFloat16);
//   loss = criterion(model->forward(x), y);
//
// Thread safety: acts on the calling thread.
#pragma once
#include <ATen/autocast_mode.h>

#include <optional>

namespace colossal::train {

class AutocastScope {
 public:
  // Does nothing when `dtype` is empty.
  AutocastScope(at::DeviceType device, std::optional<at::ScalarType> dtype)
      : device_(device), active_(dtype.has_value()) {
    if (!active_) return;
    was_enabled_ = at::autocast::is_autocast_enabled(device_);
    was_dtype_ = at::autocast::get_autocast_dtype(device_);
    at::autocast::increment_nesting();
    at::autocast::set_autocast_enabled(device_, true);
    at::autocast::set_autocast_dtype(device_, *dtype);
  }
  ~AutocastScope() {
    if (!active_) return;
    if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
    at::autocast::set_autocast_enabled(device_, was_enabled_);
    at::autocast::set_autocast_dtype(device_, was_dtype_);
  }
  AutocastScope(const AutocastScope&) = delete;
  AutocastScope& operator=(const AutocastScope&) = delete;

 private:
  at::DeviceType device_;
  bool active_;
  bool was_enabled_ = false;
  at::ScalarType was_dtype_ = at::kFloat;
};

}  // namespace colossal::train
