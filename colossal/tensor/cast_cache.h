// SPDX-License-Identifier: Apache-2.0
// Low-precision copies of master weights, made once per optimizer step: the copy hangs on the weight itself
// and is valid as long as the weight's storage and version counter have not moved.
//
//   at::Tensor w16 = tensor::cached_cast(master, at::kBFloat16);   // casts on first use after a step, then free
//   tensor::store_cast(master, w16);                               // an optimizer that wrote both in one pass says so
//   tensor::drop_cast(master);                                     // gives the memory back
//
// Whoever writes a weight through a raw pointer must bump its version (`w.unsafeGetTensorImpl()->bump_version()`), as
// ATen's in-place operations do (at::_fused_adamw_ and its kin do not). Thread safety: one weight is used by one thread
// at a time (one rank); distinct weights are independent.
#pragma once
#include <ATen/core/Tensor.h>

namespace colossal::tensor {

// `weight` in `dtype`, outside autograd: the weight itself (detached) if it has that dtype, else a cached
// copy.
at::Tensor cached_cast(const at::Tensor& weight, at::ScalarType dtype);

// The cached copy if it is still valid, else an undefined tensor. Never casts.
at::Tensor find_cast(const at::Tensor& weight, at::ScalarType dtype);

// Declares `copy` (same shape, any dtype) to be the cast of the present version of `weight`.
void store_cast(const at::Tensor& weight, at::Tensor copy);

void drop_cast(const at::Tensor& weight);

}  // namespace colossal::tensor
