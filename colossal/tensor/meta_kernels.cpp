// SPDX-License-Identifier: Apache-2.0
// Operators for which libtorch brings meta kernels in Python only: shapes and types of their results.
#include "colossal/tensor/meta_kernels.h"

#include <ATen/ExpandUtils.h>
#include <ATen/ops/empty.h>
#include <torch/library.h>

namespace colossal::tensor {
namespace {

at::Tensor truth(at::IntArrayRef sizes, const at::Tensor& like) {
  return at::empty(sizes, like.options().dtype(at::kBool));
}

at::Tensor logical_binary(const at::Tensor& a, const at::Tensor& b) {
  return truth(at::infer_size(a.sizes(), b.sizes()), a);
}
at::Tensor& logical_binary_(at::Tensor& a, const at::Tensor&) { return a; }
at::Tensor logical_unary(const at::Tensor& a) { return truth(a.sizes(), a); }

at::Tensor index_select(const at::Tensor& x, int64_t dim, const at::Tensor& index) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[dim < 0 ? dim + x.dim() : dim] = index.numel();
  return at::empty(sizes, x.options());
}

}  // namespace

void register_meta_kernels() {
  static torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::Meta, __FILE__, __LINE__);
  library.impl("logical_and", logical_binary);
  library.impl("logical_and_", logical_binary_);
  library.impl("logical_or", logical_binary);
  library.impl("logical_or_", logical_binary_);
  library.impl("logical_not", logical_unary);
  library.impl("index_select", index_select);
}

}  // namespace colossal::tensor
