// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/launch/failure.h"

#include <c10/util/Exception.h>
#include <unistd.h>

#include <new>

#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/line_prefixer.h"
#include "colossal/comm/watchdog/watchdog.h"

namespace colossal::comm {
namespace {

void print(const std::string& message) {
  write_all(STDERR_FILENO, (isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "") + message + "\n");
}

// Before there is a world all ranks usually stumble over the same thing, each on its own.
bool first_of_host() {
  try {
    const RankEnvironment environment = environment_from_launcher();
    return environment.local_rank == 0;
  } catch (const std::exception&) {
    return true;
  }
}

int report(const std::exception& error, World* world) {
  const Failure failure = describe_failure(error);
  const bool config = failure.code == ExitCode::config && dynamic_cast<const ConfigError*>(&error) != nullptr;
  Watchdog* watchdog = world != nullptr ? world->watchdog() : nullptr;
  ExitCode code = failure.code;
  bool say = true;
  if (watchdog != nullptr) {
    say = watchdog->report(failure.message, failure.code);
    // A collective cannot know why it was broken off: the watchdog does.
    if (failure.code == ExitCode::peer_lost && watchdog->verdict()) code = watchdog->verdict()->code;
  } else if (world == nullptr && config) {
    say = first_of_host();
  }
  const bool one_of_several = world != nullptr && world->size() > 1 && !found_by_all_ranks(failure.code);
  if (say)
    print(config
              ? failure.message
              : fmt::format("colossal: {}{}", one_of_several ? fmt::format("rank {}: ", world->rank()) : "",
                            failure.message));
  return static_cast<int>(code);
}

}  // namespace

bool speaks(const RankEnvironment& environment) { return environment.rank == 0; }

Failure describe_failure(const std::exception& error) {
  if (const auto* own = dynamic_cast<const Error*>(&error)) return {own->exit_code(), own->what()};
  const std::string text = error.what();
  const std::string line = text.substr(0, text.find('\n'));
  // torch's CPU allocator has no exception class of its own.
  const bool memory = dynamic_cast<const std::bad_alloc*>(&error) != nullptr ||
                      dynamic_cast<const c10::OutOfMemoryError*>(&error) != nullptr ||
                      line.find("DefaultCPUAllocator: can't allocate memory") != std::string::npos;
  if (memory) return {ExitCode::out_of_memory, "out of memory: " + line};
  return {ExitCode::failure, line};
}

int report_failure(const std::exception& error, World* world) noexcept {
  try {
    return report(error, world);
  } catch (...) {
    return static_cast<int>(ExitCode::failure);
  }
}

}  // namespace colossal::comm
