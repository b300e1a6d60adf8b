// SPDX-License-Identifier: Apache-2.0
// How payloads are cut: chunks that share a staging half, slices of which each member owns one.
//
//   Slices slices(offset, bytes, 4);
//   slices.offset(2), slices.bytes(2);        // the part of member 2
//
// Thread-safe: values.
#pragma once
#include <algorithm>
#include <cstdint>

#include "colossal/comm/backends/local/segment.h"

namespace colossal::comm::local {

// Bytes of each of `parts` equal parts of a staging half; whole cache lines, so whole elements of any dtype.
inline int64_t chunk_bytes(int parts) { return static_cast<int64_t>(kStageBytes / parts / kLine * kLine); }

// [begin, begin + length) in n slices of whole cache lines; the last ones may be short or empty.
class Slices {
 public:
  Slices(int64_t begin, int64_t length, int n)
      : begin_(begin),
        length_(std::max<int64_t>(length, 0)),
        slice_(((length_ + n - 1) / n + static_cast<int64_t>(kLine) - 1) / static_cast<int64_t>(kLine) *
               static_cast<int64_t>(kLine)) {}
  int64_t offset(int i) const { return begin_ + std::min(length_, i * slice_); }
  int64_t bytes(int i) const { return std::min(length_, (i + 1) * slice_) - std::min(length_, i * slice_); }

 private:
  int64_t begin_;
  int64_t length_;
  int64_t slice_;
};

}  // namespace colossal::comm::local
