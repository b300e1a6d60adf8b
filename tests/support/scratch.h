// SPDX-License-Identifier: Apache-2.0
// A folder of its own for one test case, removed at the end.
//
//   ScratchFolder scratch;
//   write_file_durably(scratch / "a.txt", "x");
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace colossal::testing {

class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

}  // namespace colossal::testing
