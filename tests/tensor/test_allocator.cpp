// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <random>
#include <thread>

#include "colossal/tensor/allocator.h"
#include "colossal/tensor/block_pool.h"

namespace {

using namespace colossal::tensor;

constexpr int64_t kMiB = 1 << 20;

TEST_CASE("a block pool reuses, splits and merges") {
  BlockPool pool({.reserve_bytes = 64 * kMiB, .cache_bytes = 64 * kMiB});
  REQUIRE(pool.usable());
  BlockPool::Block *a = pool.allocate(4 * kMiB), *b = pool.allocate(4 * kMiB), *c = pool.allocate(4 * kMiB);
  char* const first = a->address();
  CHECK(b->address() == first + 4 * kMiB);
  CHECK(pool.cached_bytes() == 0);
  pool.release(a);
  pool.release(c);
  CHECK(pool.cached_bytes() == 8 * kMiB);
  pool.release(b);  // joins both neighbours
  CHECK(pool.cached_bytes() == 12 * kMiB);
  BlockPool::Block* whole = pool.allocate(12 * kMiB);
  CHECK(whole->address() == first);
  CHECK(pool.cached_bytes() == 0);
  pool.release(whole);

  // Best fit: the hole of 2 MiB is taken, not the larger one before it.
  BlockPool::Block *big = pool.allocate(6 * kMiB), *wall = pool.allocate(kMiB),
                   *small = pool.allocate(2 * kMiB), *end = pool.allocate(kMiB);
  char* const hole = small->address();
  pool.release(big);
  pool.release(small);
  BlockPool::Block* fit = pool.allocate(2 * kMiB - 100);
  CHECK(fit->address() == hole);
  pool.release(fit);
  pool.release(wall);
  pool.release(end);
  CHECK(pool.allocate(65 * kMiB) == nullptr);
}

TEST_CASE("a block pool keeps no more than its bound") {
  BlockPool pool({.reserve_bytes = 256 * kMiB, .cache_bytes = 16 * kMiB});
  BlockPool::Block* block = pool.allocate(64 * kMiB);
  std::memset(block->address(), 1, 64 * kMiB);
  pool.release(block);
  CHECK(pool.cached_bytes() <= 16 * kMiB);
  block = pool.allocate(64 * kMiB);
  for (int64_t i = 4 * kMiB; i < 60 * kMiB; i += 4096)
    REQUIRE(block->address()[i] == 0);  // it went back to the kernel
  pool.release(block);
  pool.trim(0);
  CHECK(pool.cached_bytes() == 0);
}

// One installation serves all cases of this program: there is one allocator per process.
void install() { install_caching_allocator({.cache_bytes = 512 * kMiB}); }

TEST_CASE("the allocator counts live, peak and cached bytes") {
  install();
  CHECK(caching_allocator_installed());
  release_cached_memory();
  reset_peak();
  const MemoryStats before = memory_stats();
  {
    const at::Tensor a = at::empty({kMiB}, at::kFloat);
    CHECK(memory_stats().live_bytes == before.live_bytes + 4 * kMiB);
    const at::Tensor b = at::empty({1000}, at::kByte);
    CHECK(memory_stats().live_bytes == before.live_bytes + 4 * kMiB + 1000);
    CHECK(reinterpret_cast<uintptr_t>(a.data_ptr()) % 64 == 0);
    CHECK(reinterpret_cast<uintptr_t>(b.data_ptr()) % 64 == 0);
  }
  const MemoryStats after = memory_stats();
  CHECK(after.live_bytes == before.live_bytes);
  CHECK(after.peak_bytes == before.live_bytes + 4 * kMiB + 1000);
  CHECK(after.num_allocations == before.num_allocations + 2);
  if (AllocatorOptions::default_pool()) {
    CHECK(after.cached_bytes >= 4 * kMiB);
    CHECK(after.peak_held_bytes >= after.peak_bytes);
  }
  reset_peak();
  CHECK(memory_stats().peak_bytes == before.live_bytes);
  release_cached_memory();
  CHECK(memory_stats().cached_bytes < 4 * kMiB);
}

TEST_CASE("large tensors of one step get the memory of the step before") {
  install();
  if (!AllocatorOptions::default_pool()) {
    MESSAGE("left out: memory is not pooled here (sanitizers, COLOSSAL_ALLOCATOR=malloc)");
    return;
  }
  at::Tensor t = at::empty({8 * kMiB}, at::kByte);
  const void* address = t.data_ptr();
  t.reset();
  t = at::empty({8 * kMiB}, at::kByte);
  CHECK(t.data_ptr() == address);
}

TEST_CASE("threads allocate, pass on and free at once") {
  install();
  const int64_t live = memory_stats().live_bytes;
  std::mutex mutex;
  std::vector<at::Tensor> shared;  // tensors that one thread made and another frees
  std::atomic<int> damaged{0};
  const auto work = [&](unsigned seed) {
    std::mt19937 random(seed);
    std::vector<at::Tensor> own;
    for (int i = 0; i < 400; ++i) {
      const auto bytes = static_cast<int64_t>(random() % (random() % 8 == 0 ? 3 * kMiB : 100'000)) + 1;
      at::Tensor t = at::full({bytes}, static_cast<int>(bytes % 251), at::kByte);
      std::lock_guard lock(mutex);
      shared.push_back(std::move(t));
      if (shared.size() > 40) {
        std::swap(shared[random() % shared.size()], shared.back());
        const at::Tensor victim = shared.back();
        shared.pop_back();
        const auto* p = victim.const_data_ptr<uint8_t>();
        const auto n = victim.numel(), expected = n % 251;
        if (p[0] != expected || p[n / 2] != expected || p[n - 1] != expected) ++damaged;
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < 4; ++i) threads.emplace_back(work, i + 1);
  for (auto& t : threads) t.join();
  CHECK(damaged == 0);
  shared.clear();
  CHECK(memory_stats().live_bytes == live);
}

TEST_CASE("empty tensors and raw allocations work") {
  install();
  const int64_t live = memory_stats().live_bytes;
  CHECK(at::empty({0}, at::kFloat).numel() == 0);
  c10::Allocator* allocator = c10::GetAllocator(c10::kCPU);
  void* raw = allocator->raw_allocate(100'000);
  CHECK(memory_stats().live_bytes == live + 100'000);
  allocator->raw_deallocate(raw);
  CHECK(memory_stats().live_bytes == live);
}

}  // namespace
