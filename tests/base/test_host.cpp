// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <fstream>

#include "colossal/base/host.h"
#include "tests/support/scratch.h"

using namespace colossal;
namespace fs = std::filesystem;

namespace {

void write(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

}  // namespace

TEST_CASE("the memory of a host is what its control groups leave of it") {
  const testing::ScratchFolder scratch;
  const fs::path& root = scratch.path();
  const auto expect = [&](int64_t total, int64_t available) {
    const HostMemory memory = host_memory(root);
    CHECK(memory.total == total);
    CHECK(memory.available == available);
  };
  expect(0, 0);
  write(root / "proc/meminfo", "MemTotal:  1000 kB\nMemFree: 5 kB\nMemAvailable:  800 kB\n");
  expect(1'024'000, 819'200);
  write(root / "proc/self/cgroup", "4:cpu:/other\n0::/batch/job\n");
  write(root / "sys/fs/cgroup/batch/job/memory.max", "max\n");
  expect(1'024'000, 819'200);
  // A limit of the outer group; its cache of files can be given back.
  write(root / "sys/fs/cgroup/batch/memory.max", "500000\n");
  write(root / "sys/fs/cgroup/batch/memory.current", "300000\n");
  write(root / "sys/fs/cgroup/batch/memory.stat", "anon 200000\nfile 100000\ninactive_file 60000\n");
  expect(500'000, 260'000);
  write(root / "sys/fs/cgroup/batch/job/memory.max", "100000\n");
  write(root / "sys/fs/cgroup/batch/job/memory.current", "100001\n");
  expect(100'000, 0);
}

TEST_CASE("this host has memory") {
  const HostMemory memory = host_memory();
  CHECK(memory.total > 1 << 20);
  CHECK(memory.available > 0);
  CHECK(memory.available <= memory.total);
  CHECK(process_bytes() > 1 << 16);
  CHECK(process_bytes() < memory.total);
}

TEST_CASE("what a process alone holds") {
  const testing::ScratchFolder scratch;
  CHECK(process_bytes(scratch.path()) == 0);
  write(scratch / "proc/self/smaps_rollup",
        "55d0c2a4f000-7ffd1b5f5000 ---p 00000000 00:00 0                          [rollup]\n"
        "Rss:                3204 kB\nPrivate_Clean:        56 kB\nPrivate_Dirty:       364 kB\n");
  CHECK(process_bytes(scratch.path()) == 364 * 1024);
}
