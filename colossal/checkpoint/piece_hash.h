// SPDX-License-Identifier: Apache-2.0
// The hash that guards every piece of a checkpoint: XXH3-64, hexadecimal.
#pragma once
#include <fmt/format.h>
#include <xxhash.h>

#include <cstddef>
#include <string>

namespace colossal::checkpoint {

inline std::string hash_bytes(const void* data, size_t bytes) {
  return fmt::format("{:016x}", XXH3_64bits(data, bytes));
}

}  // namespace colossal::checkpoint
