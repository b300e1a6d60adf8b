// SPDX-License-Identifier: Apache-2.0
// The hash that guards every piece of a checkpoint: XXH3-64, hexadecimal.
//
//   PieceHash hash;
//   hash.add(data, bytes);            // as often as there are parts
//   piece.hash = hash.text();         // equals hash_bytes() of all parts together
//
// Not thread-safe.
#pragma once
#include <fmt/format.h>
#include <xxhash.h>

#include <cstddef>
#include <memory>
#include <string>

namespace colossal::checkpoint {

class PieceHash {
 public:
  PieceHash() : state_(XXH3_createState(), &XXH3_freeState) { XXH3_64bits_reset(state_.get()); }
  void add(const void* data, size_t bytes) { XXH3_64bits_update(state_.get(), data, bytes); }
  std::string text() const { return fmt::format("{:016x}", XXH3_64bits_digest(state_.get())); }

 private:
  std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state_;
};

inline std::string hash_bytes(const void* data, size_t bytes) {
  return fmt::format("{:016x}", XXH3_64bits(data, bytes));
}

}  // namespace colossal::checkpoint
