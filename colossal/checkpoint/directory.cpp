// SPDX-License-Identifier: Apache-2.0
#include "colossal/checkpoint/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/collectives.h"

namespace colossal::checkpoint {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kPrefix = "step-";

std::optional<int64_t> step_of(const fs::path& folder) {
  const std::string name = folder.filename().string();
  if (!name.starts_with(kPrefix)) return std::nullopt;
  int64_t step = 0;
  const char* end = name.data() + name.size();
  const auto [stop, error] = std::from_chars(name.data() + kPrefix.size(), end, step);
  if (error != std::errc() || stop != end) return std::nullopt;
  return step;
}

// Fills in what the manifest says, or why it says nothing; then the folder's own time stands in for the manifest's.
void look_into(Found& found) {
  struct stat info {};
  if (::stat(found.folder.c_str(), &info) == 0)
    found.written_at = info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000;
  try {
    found.written_at = Checkpoint(found.folder).manifest().written_at;
  } catch (const Error& error) {
    found.problem = error.what();
  }
}

int64_t size_of(const fs::path& folder) {
  int64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += static_cast<int64_t>(entry.file_size());
  }
  return bytes;
}

bool is_file(int fd, const fs::path& path) {
  struct stat open {
  }, there{};
  return ::fstat(fd, &open) == 0 && ::stat(path.c_str(), &there) == 0 && open.st_ino == there.st_ino &&
         open.st_dev == there.st_dev;
}

// Renamed first: a crash in the middle must not leave half a folder under a checkpoint's name.
void remove(const Found& found) {
  const fs::path aside = found.folder.parent_path() / fmt::format(".aside-old-{}", found.step);
  fs::rename(found.folder, aside);
  fs::remove_all(aside);
}

// Whether nothing else lies in the folder of `file`.
bool holds_only(const fs::path& file) {
  std::error_code error;
  for (fs::directory_iterator it(file.parent_path(), error), end; !error && it != end; it.increment(error))
    if (it->path() != file) return false;
  return !error;
}

}  // namespace

std::string folder_name(int64_t step) { return fmt::format("{}{:08}", kPrefix, step); }

std::vector<Found> list(const fs::path& folder) {
  std::vector<Found> all;
  if (!fs::is_directory(folder)) return all;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const auto step = step_of(entry.path());
    if (!entry.is_directory() || !step) continue;
    Found found{.folder = entry.path(),
                .step = *step,
                .written_at = 0,
                .bytes = size_of(entry.path()),
                .problem = ""};
    look_into(found);
    all.push_back(std::move(found));
  }
  std::sort(all.begin(), all.end(), [](const Found& a, const Found& b) {
    return std::pair(a.written_at, a.step) < std::pair(b.written_at, b.step);
  });
  return all;
}

Chosen newest_good(const fs::path& folder, const comm::Group& all) {
  Json names = Json::array();
  if (all.index() == 0) {
    for (const Found& found : list(folder)) names.push_back({found.folder.string(), found.problem});
  }
  names = comm::broadcast_json(names, all);
  Chosen chosen;
  for (auto it = names.rbegin(); it != names.rend(); ++it) {
    const fs::path candidate = (*it)[0].get<std::string>();
    std::string problem = (*it)[1].get<std::string>();
    if (problem.empty()) {
      try {
        Checkpoint(candidate).verify(all.index(), all.size());
      } catch (const Error& error) {
        problem = error.what();
      }
      for (const Json& other : comm::all_gather_json(problem, all)) {
        if (problem.empty()) problem = other.get<std::string>();
      }
    }
    if (problem.empty()) {
      chosen.folder = candidate;
      return chosen;
    }
    chosen.skipped.push_back(problem);
  }
  return chosen;
}

void prune(const fs::path& folder, int64_t keep) {
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().filename().string().starts_with(".aside-")) fs::remove_all(entry.path());
  }
  if (keep <= 0) return;
  std::vector<Found> complete;
  for (Found& found : list(folder)) {
    if (found.problem.empty()) complete.push_back(std::move(found));
  }
  const auto surplus = static_cast<int64_t>(complete.size()) - keep;
  for (int64_t i = 0; i < surplus; ++i) remove(complete[i]);
}

void clear(const fs::path& folder) {
  prune(folder, 0);
  for (const Found& found : list(folder)) remove(found);
}

FolderLock::FolderLock(const fs::path& folder)
    : file_(folder / ".lock"),
      folder_(std::make_unique<ProvisionalFolder>(folder, "Set another run.output.", ExitCode::config)) {
  fd_ = ::open(file_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd_ < 0) throw IoError(fmt::format("{}: cannot open: {}", file_.string(), std::strerror(errno)));
  // The file may also have been removed by its holder, between our two calls.
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0 || !is_file(fd_, file_)) {
    std::error_code gone;
    const std::string holder = fs::exists(file_, gone) ? read_file(file_) : "just ending";
    ::close(fd_);
    throw IoError(
        fmt::format(
            "{}: another run (process {}) is using this folder. Wait for it, or set another run.output.",
            folder.string(), trim(holder)),
        ExitCode::config);
  }
  const std::string self = std::to_string(::getpid());
  if (::ftruncate(fd_, 0) != 0 || ::write(fd_, self.data(), self.size()) < 0) {
    // The number only serves the message above; the lock itself holds.
  }
}

FolderLock::~FolderLock() {
  if (folder_->is_new() && holds_only(file_)) ::unlink(file_.c_str());  // while nobody else can hold it
  ::close(fd_);
}

}  // namespace colossal::checkpoint
