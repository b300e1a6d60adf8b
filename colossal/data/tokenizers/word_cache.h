// SPDX-License-Identifier: Apache-2.0
// Remembers the ids of short pieces: natural text repeats its words, and a look-up costs a tenth of merging
// again.
//
//   if (!cache.find(piece, ids)) { ...; cache.put(piece, {ids.begin() + before, ids.end()}); }
//
// Not thread-safe: one per thread at work. Bounded; it is emptied when full.
#pragma once
#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace colossal::data {

class WordCache {
 public:
  static constexpr size_t kMaxBytes = 64;  // longer pieces are rarely seen twice

  // Appends the remembered ids.
  bool find(std::string_view piece, std::vector<int32_t>& ids) const {
    if (slots_.empty()) return false;
    const Slot& slot = slots_[place(piece)];
    if (slot.length == 0) return false;
    ids.insert(ids.end(), ids_.begin() + slot.ids, ids_.begin() + slot.ids + slot.num_ids);
    return true;
  }

  void put(std::string_view piece, std::span<const int32_t> ids) {
    if (piece.empty() || piece.size() > kMaxBytes) return;
    if (slots_.empty() || size_ * 2 >= slots_.size()) {
      slots_.assign(kSlots, {});
      text_.clear();
      ids_.clear();
      size_ = 0;
    }
    Slot& slot = slots_[place(piece)];
    if (slot.length != 0) return;
    slot = {static_cast<uint32_t>(text_.size()), static_cast<uint32_t>(piece.size()),
            static_cast<uint32_t>(ids_.size()), static_cast<uint32_t>(ids.size())};
    text_.append(piece);
    ids_.insert(ids_.end(), ids.begin(), ids.end());
    ++size_;
  }

 private:
  static constexpr size_t kSlots = size_t{1} << 17;
  struct Slot {
    uint32_t text = 0, length = 0, ids = 0, num_ids = 0;
  };
  size_t place(std::string_view piece) const {
    size_t at = XXH3_64bits(piece.data(), piece.size()) & (kSlots - 1);
    while (slots_[at].length != 0 &&
           !(slots_[at].length == piece.size() &&
             std::memcmp(text_.data() + slots_[at].text, piece.data(), piece.size()) == 0)) {
      at = (at + 1) & (kSlots - 1);
    }
    return at;
  }
  std::vector<Slot> slots_;
  std::string text_;
  std::vector<int32_t> ids_;
  size_t size_ = 0;
};

}  // namespace colossal::data
