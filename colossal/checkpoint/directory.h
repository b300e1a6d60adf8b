// SPDX-License-Identifier: Apache-2.0
// The folder that holds all checkpoints of a run.
//
//   for (const Found& found : list(folder)) fmt::print("{} {}\n", found.step, found.problem);
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "colossal/base/file.h"
#include "colossal/comm/group.h"

namespace colossal::checkpoint {

std::string folder_name(int64_t step);  // "step-00000100"

struct Found {
  std::filesystem::path folder;
  int64_t step = 0;
  int64_t written_at = 0;  // milliseconds since 1970; of a damaged one by its folder's time of change
  int64_t bytes = 0;
  std::string problem;  // empty: complete (manifest readable, files there with their sizes)
};

// All checkpoints below `folder`, in the order in which they were written. A folder that does not exist holds none.
std::vector<Found> list(const std::filesystem::path& folder);

struct Chosen {
  std::optional<std::filesystem::path> folder;  // the newest that passes verification
  std::vector<std::string> skipped;  // one line per newer checkpoint that does not, with the reason
};

// Collective over `all`: every rank verifies its share; all ranks agree.
Chosen newest_good(const std::filesystem::path& folder, const comm::Group& all);

// Removes what crashed saves left aside and, when keep > 0, all but the newest `keep` complete checkpoints.
void prune(const std::filesystem::path& folder, int64_t keep);

// Removes all checkpoints, and what crashed saves left aside.
void clear(const std::filesystem::path& folder);

// Holds a run's checkpoint folder against other runs, from construction to destruction. IoError names the process that holds it.
// A folder that it had to make is removed again when nothing has been saved in it.
class FolderLock {
 public:
  explicit FolderLock(const std::filesystem::path& folder);
  ~FolderLock();
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  std::filesystem::path file_;
  std::unique_ptr<ProvisionalFolder> folder_;
  int fd_ = -1;
};

}  // namespace colossal::checkpoint
