// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/watchdog/dump.h"

#include <future>
#include <thread>

#include "colossal/base/file.h"

namespace colossal::comm {

std::filesystem::path recorder_path(const std::filesystem::path& folder, int rank) {
  return folder / fmt::format("rank-{:05}.json", rank);
}

std::string recorder_paths(const std::filesystem::path& folder) { return (folder / "rank-*.json").string(); }

bool dump_recorder(const std::filesystem::path& path, const DumpHead& head, const Recorder& recorder,
                   std::chrono::milliseconds patience) noexcept try {
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const Json content = {{"rank", head.rank},
                        {"step", head.step},
                        {"verdict", head.verdict},
                        {"time", now},
                        {"collectives", recorder.dump()}};
  std::promise<bool> promise;
  std::future<bool> written = promise.get_future();
  // On its own: nobody can take a thread back from a disk that hangs.
  std::thread([path, text = content.dump(1) + "\n", promise = std::move(promise)]() mutable {
    try {
      create_folders(path.parent_path());
      write_file_durably(path, text);
      promise.set_value(true);
    } catch (const std::exception&) {
      promise.set_value(false);
    }
  }).detach();
  return written.wait_for(patience) == std::future_status::ready && written.get();
} catch (const std::exception&) {
  return false;
}

}  // namespace colossal::comm
