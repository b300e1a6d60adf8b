// SPDX-License-Identifier: Apache-2.0
#include "colossal/tensor/block_pool.h"

#include <sys/mman.h>

namespace colossal::tensor {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kUnit = 4096;  // block sizes are multiples of it
constexpr int64_t kCommitStep = int64_t{64} << 20;
constexpr int64_t kSmallestReserve = int64_t{1} << 30;

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

}  // namespace

BlockPool::BlockPool(const Options& options)
    : cache_bytes_(options.cache_bytes), huge_pages_(options.huge_pages) {
  // Addresses cost nothing, so ask for many; a limit on the address space (ulimit -v) makes it less.
  for (int64_t bytes = options.reserve_bytes; bytes >= std::min(options.reserve_bytes, kSmallestReserve);
       bytes /= 2) {
    void* range = ::mmap(nullptr, static_cast<size_t>(bytes + kHugePage), PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (range == MAP_FAILED) continue;
    const auto address = round_up(reinterpret_cast<int64_t>(range), kHugePage);
    base_ = top_ = committed_ = reinterpret_cast<char*>(address);
    end_ = base_ + bytes;
    return;
  }
}

BlockPool::~BlockPool() {
  if (base_ != nullptr) ::munmap(base_, static_cast<size_t>(end_ - base_));
  while (last_ != nullptr) delete std::exchange(last_, last_->before);
}

BlockPool::Block* BlockPool::allocate(int64_t bytes) {
  bytes = round_up(std::max(bytes, kUnit), kUnit);
  std::lock_guard lock(mutex_);
  Block key{nullptr, bytes, 0, true, nullptr, nullptr};
  const auto it = free_.lower_bound(&key);
  Block* block = it != free_.end() ? *it : grow(bytes);
  return block == nullptr ? nullptr : take(block, bytes);
}

// Hands out the front of a free block of at least `bytes`.
BlockPool::Block* BlockPool::take(Block* block, int64_t bytes) {
  free_.erase(block);
  cached_ -= block->resident;
  block->free = false;
  if (block->bytes > bytes) {
    const int64_t left = std::max<int64_t>(0, block->resident - bytes);
    auto* rest = new Block{block->begin + bytes, block->bytes - bytes, left, true, block, block->after};
    if (rest->after != nullptr) rest->after->before = rest;
    if (last_ == block) last_ = rest;
    block->after = rest;
    block->bytes = bytes;
    cached_ += left;
    free_.insert(rest);
  }
  block->resident = 0;
  return block;
}

// Extends the used part of the range so that its last block is free and has at least `bytes`.
BlockPool::Block* BlockPool::grow(int64_t bytes) {
  const bool extends = last_ != nullptr && last_->free;
  const int64_t missing = extends ? bytes - last_->bytes : bytes;
  if (missing > end_ - top_ || !commit(top_ + missing)) return nullptr;
  Block* block = last_;
  if (extends) {
    free_.erase(block);
    block->bytes += missing;
  } else {
    block = new Block{top_, missing, 0, true, last_, nullptr};
    if (last_ != nullptr) last_->after = block;
    last_ = block;
  }
  top_ += missing;
  free_.insert(block);
  return block;
}

bool BlockPool::commit(char* end) {
  if (end <= committed_) return true;
  const int64_t bytes = std::min<int64_t>(round_up(end - committed_, kCommitStep), end_ - committed_);
  if (::mprotect(committed_, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE) != 0) return false;
  if (huge_pages_) ::madvise(committed_, static_cast<size_t>(bytes), MADV_HUGEPAGE);
  committed_ += bytes;
  return true;
}

void BlockPool::merge_after(Block* block) {
  Block* next = block->after;
  free_.erase(next);
  block->bytes += next->bytes;
  block->resident += next->resident;
  block->after = next->after;
  if (next->after != nullptr) next->after->before = block;
  if (last_ == next) last_ = block;
  delete next;
}

void BlockPool::release(Block* block) {
  std::lock_guard lock(mutex_);
  block->free = true;
  block->resident = block->bytes;
  cached_ += block->bytes;
  if (block->after != nullptr && block->after->free) merge_after(block);
  if (block->before != nullptr && block->before->free) {
    Block* before = block->before;
    free_.erase(before);
    merge_after(before);
    block = before;
  }
  free_.insert(block);
  if (cached_ > cache_bytes_) trim_locked(cache_bytes_);
}

// The largest blocks first. Only whole huge pages are given back.
void BlockPool::trim_locked(int64_t keep_bytes) {
  for (auto it = free_.rbegin(); it != free_.rend() && cached_ > keep_bytes; ++it) {
    Block* block = *it;
    if (block->resident == 0) continue;
    const auto begin = round_up(reinterpret_cast<int64_t>(block->begin), kHugePage);
    const auto end = reinterpret_cast<int64_t>(block->begin + block->bytes) / kHugePage * kHugePage;
    if (end <= begin) continue;
    ::madvise(reinterpret_cast<void*>(begin), static_cast<size_t>(end - begin), MADV_DONTNEED);
    const int64_t left = std::min(block->resident, block->bytes - (end - begin));
    cached_ -= block->resident - left;
    block->resident = left;
  }
}

void BlockPool::set_cache_bytes(int64_t bytes) {
  std::lock_guard lock(mutex_);
  cache_bytes_ = bytes;
  if (cached_ > cache_bytes_) trim_locked(cache_bytes_);
}

void BlockPool::trim(int64_t keep_bytes) {
  std::lock_guard lock(mutex_);
  trim_locked(keep_bytes);
}

int64_t BlockPool::cached_bytes() const {
  std::lock_guard lock(mutex_);
  return cached_;
}

}  // namespace colossal::tensor
