// SPDX-License-Identifier: Apache-2.0
// The memory of the host that this process runs on, and of the process.
//
//   const HostMemory memory = host_memory();
//   const int64_t mine = process_bytes();
//
// Thread-safe: pure functions; they read /proc and /sys.
#pragma once
#include <cstdint>
#include <filesystem>

namespace colossal {

// In bytes.
struct HostMemory {
  int64_t total = 0;
  int64_t available = 0;  // without swapping: free, or easily freed
};

// What this process may use: of the host, or less where its control group (a container, a batch job) is limited to less. `root` is
// where proc and sys are found.
HostMemory host_memory(const std::filesystem::path& root = "/");

// Bytes that this process alone holds, of libraries, heap and stacks: what another one like it would add. 0 where nobody can say.
int64_t process_bytes(const std::filesystem::path& root = "/");

}  // namespace colossal
