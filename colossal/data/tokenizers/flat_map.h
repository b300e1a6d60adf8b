// SPDX-License-Identifier: Apache-2.0
// An open-addressing hash map from 64-bit keys to 64-bit values: no allocation per entry, one cache line per
// look-up.
//
//   FlatMap map;   map[key] = value;   const uint64_t* found = map.find(key);
//
// Thread-safe once filled. The key ~0 is reserved. A new entry is 0.
#pragma once
#include <cstdint>
#include <vector>

namespace colossal::data {

class FlatMap {
 public:
  uint64_t& operator[](uint64_t key) {
    if ((size_ + 1) * 2 > slots_.size()) grow();
    Slot& slot = slots_[place(key)];
    if (slot.key == kFree) {
      slot = {key, 0};
      ++size_;
    }
    return slot.value;
  }
  const uint64_t* find(uint64_t key) const {
    if (slots_.empty()) return nullptr;
    const Slot& slot = slots_[place(key)];
    return slot.key == key ? &slot.value : nullptr;
  }
  size_t size() const { return size_; }

 private:
  static constexpr uint64_t kFree = ~uint64_t{0};
  struct Slot {
    uint64_t key = kFree;
    uint64_t value = 0;
  };
  // Finaliser of SplitMix64 (Steele, Lea, Flood 2014).
  static uint64_t hash(uint64_t key) {
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return key ^ (key >> 31);
  }
  size_t place(uint64_t key) const {
    size_t at = hash(key) & (slots_.size() - 1);
    while (slots_[at].key != key && slots_[at].key != kFree) at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  void grow() {
    std::vector<Slot> old = std::move(slots_);
    slots_.assign(old.empty() ? 64 : old.size() * 2, {});
    for (const Slot& slot : old) {
      if (slot.key != kFree) slots_[place(slot.key)] = slot;
    }
  }
  std::vector<Slot> slots_;
  size_t size_ = 0;
};

}  // namespace colossal::data
