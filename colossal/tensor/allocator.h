// SPDX-License-Identifier: Apache-2.0
// CPU memory of tensors: a cache on huge pages in place of malloc. Large tensors of one step reuse the pages of the step before instead of
// giving them to the kernel and faulting them in again.
//
//   tensor::install_caching_allocator({.cache_bytes = int64_t{4} << 30});   // once, before ranks and threads start
//   tensor::reset_peak();
//   tensor::MemoryStats stats = tensor::memory_stats();                     // live, peak, cached bytes of this process
//
// Thread-safe. Counts are per process: ranks that are threads share them (and may free each other's tensors).
#pragma once
#include <c10/core/DeviceType.h>

#include <cstdint>

namespace colossal::tensor {

struct AllocatorOptions {
  // Freed memory kept for reuse; what exceeds it goes back to the kernel. 0: a quarter of the machine's memory.
  int64_t cache_bytes = 0;
  // false: every block comes from malloc and is only counted. Default: true, but false under ASan and TSan (which must see every block) and
  // where COLOSSAL_ALLOCATOR=malloc.
  bool pool = default_pool();
  bool huge_pages = true;

  static bool default_pool();
};

struct MemoryStats {
  int64_t live_bytes = 0;       // in tensors now
  int64_t peak_bytes = 0;       // the most of live_bytes since the start or reset_peak()
  int64_t cached_bytes = 0;     // freed and kept
  int64_t peak_held_bytes = 0;  // the most of live + cached: what the process asked of the kernel for tensors
  int64_t num_allocations = 0;  // blocks handed out since the start
};

// Makes it the allocator of all CPU tensors. Tensors that exist keep their memory. Further calls only change the options cache_bytes.
// Sets glibc's thresholds, too, so that scratch memory of the math libraries is kept likewise.
void install_caching_allocator(const AllocatorOptions& options = {});
bool caching_allocator_installed();

// Of tensors on the CPU, or on the meta device (meta.h), which caches nothing. All zero before the device's allocator is there.
MemoryStats memory_stats(c10::DeviceType device = c10::DeviceType::CPU);
void reset_peak(c10::DeviceType device = c10::DeviceType::CPU);

// Gives all cached memory back to the kernel.
void release_cached_memory();

}  // namespace colossal::tensor
