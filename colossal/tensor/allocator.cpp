// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/allocator.h"

#include <c10/core/CPUAllocator.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "colossal/base/error.h"
#include "colossal/base/host.h"
#include "colossal/base/text.h"
#include "colossal/tensor/block_pool.h"
#include "colossal/tensor/meta.h"

namespace colossal::tensor {
namespace {

constexpr int64_t kSmallBytes = int64_t{64} << 10;  // below: malloc, which is good at it
constexpr size_t kAlignment = 64;

// In front of every block, so that freeing needs no look-up.
struct alignas(kAlignment) Header {
  int64_t bytes;
  BlockPool::Block* block;  // null: from malloc
};

class CachingAllocator final : public c10::Allocator {
 public:
  explicit CachingAllocator(const AllocatorOptions& options)
      : pool_(options.pool ? new BlockPool({.cache_bytes = bound(options), .huge_pages = options.huge_pages})
                           : nullptr) {
    if (pool_ != nullptr && !pool_->usable()) pool_ = nullptr;
  }

  static int64_t bound(const AllocatorOptions& options) {
    return options.cache_bytes > 0 ? options.cache_bytes : host_memory().total / 4;
  }

  c10::DataPtr allocate(size_t n) override {
    if (n == 0) return {nullptr, nullptr, &free_block, c10::Device(c10::DeviceType::CPU)};
    const auto bytes = static_cast<int64_t>(n);
    Header* header = pool_ != nullptr && bytes >= kSmallBytes ? from_pool(bytes) : from_malloc(bytes);
    if (header == nullptr) out_of_memory(bytes);
    header->bytes = bytes;
    count(bytes);
    void* data = header + 1;
    return {data, data, &free_block, c10::Device(c10::DeviceType::CPU)};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_block; }
  void copy_data(void* dest, const void* src, std::size_t n) const override {
    default_copy_data(dest, src, n);
  }

  MemoryStats stats() const {
    const int64_t live = counter_.live(), cached = cached_bytes();
    return {.live_bytes = live,
            .peak_bytes = counter_.peak(),
            .cached_bytes = cached,
            .peak_held_bytes = std::max(peak_held_.load(), live + cached),
            .num_allocations = counter_.num_allocations()};
  }
  void reset_peak() {
    counter_.reset_peak();
    peak_held_ = counter_.live() + cached_bytes();
  }
  BlockPool* pool() { return pool_; }

 private:
  int64_t cached_bytes() const { return pool_ != nullptr ? pool_->cached_bytes() : 0; }

  Header* from_pool(int64_t bytes) {
    const int64_t whole = bytes + static_cast<int64_t>(sizeof(Header));
    BlockPool::Block* block = pool_->allocate(whole);
    if (block == nullptr) {
      pool_->trim(0);
      block = pool_->allocate(whole);
    }
    return block == nullptr ? nullptr : new (block->address()) Header{bytes, block};
  }

  static Header* from_malloc(int64_t bytes) {
    void* memory = nullptr;
    if (::posix_memalign(&memory, kAlignment, static_cast<size_t>(bytes) + sizeof(Header)) != 0)
      return nullptr;
    return new (memory) Header{bytes, nullptr};
  }

  [[noreturn]] void out_of_memory(int64_t bytes) const {
    const MemoryStats s = stats();
    throw Error(
        fmt::format(
            "allocator: a tensor of {} does not fit: {} live, {} cached on a machine of {}. Nearest fix: a "
            "smaller train.microbatch_size, or a smaller model.",
            human_bytes(static_cast<double>(bytes)), human_bytes(static_cast<double>(s.live_bytes)),
            human_bytes(static_cast<double>(s.cached_bytes)),
            human_bytes(static_cast<double>(host_memory().total))),
        ExitCode::out_of_memory);
  }

  void count(int64_t bytes) {
    const int64_t live = counter_.add(bytes);
    if (bytes >= kSmallBytes) raise_to(peak_held_, live + cached_bytes());
  }

  static void free_block(void* data);

  BlockPool* pool_;  // never destroyed: tensors may outlive every static object
  MemoryCounter counter_;
  std::atomic<int64_t> peak_held_{0};
};

// The process-wide allocator is installed into libtorch, so it lives in one place here, too.
std::atomic<CachingAllocator*>& installed() {
  static std::atomic<CachingAllocator*> allocator{nullptr};
  return allocator;
}

void CachingAllocator::free_block(void* data) {
  if (data == nullptr) return;
  Header* header = static_cast<Header*>(data) - 1;
  CachingAllocator* self = installed().load(std::memory_order_relaxed);
  self->counter_.remove(header->bytes);
  if (header->block != nullptr) {
    self->pool_->release(header->block);
  } else {
    std::free(header);
  }
}

// Scratch memory of the math libraries comes from malloc: keep it instead of returning it after each call.
void keep_heap() {
#if defined(__GLIBC__)
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);
  ::mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

}  // namespace

bool AllocatorOptions::default_pool() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return false;
#else
  const char* wish = std::getenv("COLOSSAL_ALLOCATOR");
  return wish == nullptr || std::strcmp(wish, "malloc") != 0;
#endif
}

void install_caching_allocator(const AllocatorOptions& options) {
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  if (CachingAllocator* present = installed().load()) {
    if (present->pool() != nullptr) present->pool()->set_cache_bytes(CachingAllocator::bound(options));
    return;
  }
  auto* allocator = new CachingAllocator(options);
  if (allocator->pool() != nullptr) keep_heap();
  installed() = allocator;
  c10::SetCPUAllocator(allocator, 200);
}

bool caching_allocator_installed() { return installed().load() != nullptr; }

MemoryStats memory_stats(c10::DeviceType device) {
  if (device == c10::DeviceType::Meta) {
    const MemoryCounter* memory = meta_memory();
    if (memory == nullptr) return {};
    return {.live_bytes = memory->live(),
            .peak_bytes = memory->peak(),
            .peak_held_bytes = memory->peak(),
            .num_allocations = memory->num_allocations()};
  }
  const CachingAllocator* allocator = installed().load();
  return allocator == nullptr ? MemoryStats{} : allocator->stats();
}

void reset_peak(c10::DeviceType device) {
  if (device == c10::DeviceType::Meta) {
    if (MemoryCounter* memory = meta_memory()) memory->reset_peak();
  } else if (CachingAllocator* allocator = installed().load()) {
    allocator->reset_peak();
  }
}

void release_cached_memory() {
  CachingAllocator* allocator = installed().load();
  if (allocator != nullptr && allocator->pool() != nullptr) allocator->pool()->trim(0);
}

}  // namespace colossal::tensor
