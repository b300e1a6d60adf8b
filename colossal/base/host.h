// SPDX-License-Identifier: Apache-2.0
// The host that this process runs on.
//
//   const int64_t bytes = physical_memory_bytes();
//
// Thread-safe.
#pragma once
#include <unistd.h>

#include <cstdint>

namespace colossal {

// All memory of the host, also where a container may use only a part of it.
inline int64_t physical_memory_bytes() {
  return static_cast<int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
}

}  // namespace colossal
