// SPDX-License-Identifier: Apache-2.0
// One reserved range of addresses from which blocks are cut: best fit, split and merged with their neighbours, on huge pages.
//
//   BlockPool pool({.reserve_bytes = int64_t{1} << 40});
//   BlockPool::Block* block = pool.allocate(bytes);      // block->address(); nullptr: no memory
//   pool.release(block);
//
// Thread-safe (one lock; meant for blocks of many kilobytes).
#pragma once
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <set>

namespace colossal::tensor {

class BlockPool {
 public:
  struct Options {
    int64_t reserve_bytes = int64_t{1} << 40;
    int64_t cache_bytes = int64_t{1} << 30;
    bool huge_pages = true;
  };

  // A stretch of the range. Free neighbours are always merged.
  struct Block {
    char* begin;
    int64_t bytes;
    int64_t resident;  // of a free block: at most this much is backed by memory
    bool free;
    Block* before;
    Block* after;
    char* address() const { return begin; }
  };

  explicit BlockPool(const Options& options);
  ~BlockPool();
  BlockPool(const BlockPool&) = delete;
  BlockPool& operator=(const BlockPool&) = delete;

  bool usable() const { return base_ != nullptr; }  // false: no range of addresses could be reserved
  Block* allocate(int64_t bytes);
  void release(Block* block);
  void set_cache_bytes(int64_t bytes);
  void trim(int64_t keep_bytes);  // gives cached memory beyond keep_bytes back to the kernel
  int64_t cached_bytes() const;

 private:
  struct Smaller {
    bool operator()(const Block* a, const Block* b) const {
      return a->bytes != b->bytes ? a->bytes < b->bytes : a->begin < b->begin;
    }
  };

  Block* take(Block* block, int64_t bytes);
  Block* grow(int64_t bytes);
  bool commit(char* end);
  void merge_after(Block* block);
  void trim_locked(int64_t keep_bytes);

  mutable std::mutex mutex_;
  std::set<Block*, Smaller> free_;
  char* base_ = nullptr;
  char* top_ = nullptr;        // everything above was never handed out
  char* committed_ = nullptr;  // everything above is not accessible yet
  char* end_ = nullptr;
  Block* last_ = nullptr;  // the block that ends at top_
  int64_t cached_ = 0;
  int64_t cache_bytes_;
  bool huge_pages_;
};

}  // namespace colossal::tensor
