// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/run_ranks.h"

#include <ATen/Parallel.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <condition_variable>
#include <thread>

#include "colossal/base/error.h"

namespace colossal::comm {

namespace {

// What the threads of one run_ranks share.
struct Run {
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<World>> worlds;  // by rank; null before connect
  std::vector<bool> finished;
  int num_finished = 0;
  std::exception_ptr first_error;
  int first_rank = -1;
  std::string abort_reason;  // set once: ranks that come later stop at once
};

std::string text_of(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception that is not a std::exception";
  }
}

// The same error family with the rank in front; what is not ours goes on as it is (a test framework's own
// exceptions).
[[noreturn]] void rethrow_with_rank(const std::exception_ptr& error, int rank) {
  const auto text = [&](const std::exception& e) { return fmt::format("rank {}: {}", rank, e.what()); };
  try {
    std::rethrow_exception(error);
  } catch (const ConfigError& e) {
    throw ConfigError(text(e));
  } catch (const ShapeError& e) {
    throw ShapeError(text(e));
  } catch (const CommError& e) {
    throw CommError(text(e), e.exit_code());
  } catch (const IoError& e) {
    throw IoError(text(e), e.exit_code());
  } catch (const NumericsError& e) {
    throw NumericsError(text(e));
  } catch (const Error& e) {
    throw Error(text(e), e.exit_code());
  } catch (const std::exception& e) {
    throw Error(text(e));
  }
}

void abort_all(Run& run, const std::string& reason) {
  std::vector<std::shared_ptr<World>> worlds;
  {
    std::lock_guard lock(run.mutex);
    if (run.abort_reason.empty()) run.abort_reason = reason;
    worlds = run.worlds;
  }
  for (const auto& world : worlds) {
    if (world != nullptr) world->abort(reason);
  }
}

void run_rank(Run& run, int rank, int num_ranks, Store store, const std::string& job,
              const WorldOptions& options, const std::function<void(std::shared_ptr<World>)>& body) {
  at::set_num_threads(1);  // ranks share the cores; the setting is per thread
  try {
    RankEnvironment environment;
    environment.rank = environment.local_rank = rank;
    environment.world_size = environment.local_world_size = num_ranks;
    environment.job = job;
    environment.launcher = "threads";
    std::shared_ptr<World> world = World::connect(environment, store, options);
    {
      std::lock_guard lock(run.mutex);
      run.worlds[rank] = world;
      if (!run.abort_reason.empty()) throw CommError(run.abort_reason);
    }
    body(std::move(world));
  } catch (...) {
    bool first = false;
    {
      std::lock_guard lock(run.mutex);
      if (run.first_error == nullptr) {
        run.first_error = std::current_exception();
        run.first_rank = rank;
        first = true;
      }
    }
    if (first) {
      const std::string reason = fmt::format("rank {} failed: {}", rank, text_of(std::current_exception()));
      store.abort(reason);
      abort_all(run, reason);
    }
  }
  std::lock_guard lock(run.mutex);
  run.finished[rank] = true;
  ++run.num_finished;
  run.changed.notify_all();
}

// What each rank did last, for the message about ranks that never finish.
std::string last_collectives(Run& run) {
  std::string text;
  for (size_t rank = 0; rank < run.worlds.size(); ++rank) {
    const auto entries =
        run.worlds[rank] == nullptr ? std::vector<RecorderEntry>{} : run.worlds[rank]->recorder().entries();
    text += fmt::format("\n  rank {}: {}", rank, run.finished[rank] ? "finished; " : "");
    if (entries.empty()) {
      text += "no collective yet";
    } else {
      const RecorderEntry& e = entries.back();
      text += fmt::format("{} #{} of group \"{}\", {} [{}], {}", e.op, e.group_sequence, e.group, e.dtype,
                          fmt::join(e.shape, ", "), e.seconds < 0 ? "not complete" : "complete");
    }
  }
  return text;
}

}  // namespace

void run_ranks(int num_ranks, const std::function<void(std::shared_ptr<World>)>& body,
               const WorldOptions& options) {
  if (num_ranks < 1) throw ConfigError(fmt::format("run_ranks: {} ranks. Allowed: 1 or more.", num_ranks));
  Run run;
  run.worlds.resize(num_ranks);
  run.finished.resize(num_ranks);
  const auto now = std::chrono::steady_clock::now();
  const std::string job = fmt::format("threads-{}-{}", ::getpid(), now.time_since_epoch().count());
  const Store store = Store::in_process();
  std::vector<std::thread> threads;
  for (int rank = 0; rank < num_ranks; ++rank) {
    threads.emplace_back([&, rank] { run_rank(run, rank, num_ranks, store, job, options, body); });
  }
  {
    std::unique_lock lock(run.mutex);
    const auto all = [&] { return run.num_finished == num_ranks; };
    if (!run.changed.wait_until(lock, now + options.timeout, all) && run.first_error == nullptr) {
      const std::string report =
          fmt::format("run_ranks: not all ranks finished within {:.1f} s. Last collectives:{}",
                      options.timeout.count() / 1e3, last_collectives(run));
      run.first_error = std::make_exception_ptr(CommError(report, ExitCode::hang));
      lock.unlock();
      Store(store).abort(report);
      abort_all(run, report);
    }
  }
  for (std::thread& thread : threads) thread.join();
  if (run.first_error == nullptr) return;
  if (run.first_rank < 0) std::rethrow_exception(run.first_error);
  rethrow_with_rank(run.first_error, run.first_rank);
}

}  // namespace colossal::comm
