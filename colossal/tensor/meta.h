// SPDX-License-Identifier: Apache-2.0
// Tensors without elements: on the meta device the same code runs, allocates and communicates, but nothing is stored and nothing is
// computed. What it would have needed is counted to the byte.
//
//   tensor::count_meta_memory();                                            // once, before the first meta tensor
//   at::Tensor x = at::empty({1 << 30}, at::device(at::kMeta));
//   tensor::memory_stats(at::kMeta).live_bytes;                             // 4 GiB (allocator.h)
//
// Numbers that operators take as arguments stay on the CPU and are not counted there. Thread-safe.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "colossal/tensor/memory_counter.h"

namespace colossal::tensor {

// From now on memory of meta tensors is counted, and their storages have addresses: all different, none of them memory, so that what
// compares addresses (the cache of casts, gradient buckets) decides as on other devices. Further calls do nothing.
void count_meta_memory();

// Null before count_meta_memory.
MemoryCounter* meta_memory();

// The number in a tensor of one element; `assumed` where there is none (meta).
double number_in(const at::Tensor& x, double assumed);
// Those of a tensor [n], in one copy to the host.
std::vector<double> numbers_in(const at::Tensor& x, double assumed);

}  // namespace colossal::tensor
