// SPDX-License-Identifier: Apache-2.0
// Bytes that come and go: how many there are, and the most there ever were.
//
//   counter.add(4096);  counter.remove(4096);  counter.peak();      // 4096
//
// Thread-safe.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>

namespace colossal::tensor {

inline void raise_to(std::atomic<int64_t>& most, int64_t value) {
  int64_t seen = most.load(std::memory_order_relaxed);
  while (seen < value && !most.compare_exchange_weak(seen, value, std::memory_order_relaxed)) {
  }
}

class MemoryCounter {
 public:
  // Returns what is live now.
  int64_t add(int64_t bytes) {
    allocations_.fetch_add(1, std::memory_order_relaxed);
    const int64_t now = live_.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    raise_to(peak_, now);
    return now;
  }
  void remove(int64_t bytes) { live_.fetch_sub(bytes, std::memory_order_relaxed); }
  void reset_peak() { peak_ = live_.load(); }

  int64_t live() const { return live_.load(); }
  int64_t peak() const { return std::max(peak_.load(), live()); }
  int64_t num_allocations() const { return allocations_.load(); }

 private:
  std::atomic<int64_t> live_{0}, peak_{0}, allocations_{0};
};

}  // namespace colossal::tensor
