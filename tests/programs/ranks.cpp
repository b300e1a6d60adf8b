// SPDX-License-Identifier: Apache-2.0
// A small run of ranks for the tests of launching and of failures: every step computes a little and all-reduces.
//
//   ranks --launch 3 --steps 50 --event kill:1:17       # rank 1 kills itself at step 17
//   torchrun --no-python --nproc-per-node 2 ranks --steps 5
//
// Events, as name:rank:step: kill, segfault, stop (SIGSTOP), exit (without goodbye), throw, refuse, kill-parent, skip (leaves one
// collective out), slow (works for 1.5 timeouts first), twice (throws, and rank 0 half a second later something else); config, diverge: all ranks find a mistake
// (NaN) at once, this one `step` milliseconds later.
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <ctime>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/comm/launch/launcher.h"
#include "colossal/comm/launch/signals.h"
#include "colossal/comm/world.h"

using namespace colossal;
using namespace colossal::comm;

namespace {

struct Request {
  int launch = 0;
  int steps = 20;
  double timeout_seconds = 30;
  double connect_seconds = std::chrono::duration<double>(WorldOptions{}.connect_timeout).count();
  std::string backend = "automatic";
  std::string event = "none:0:0";
  bool until_stopped = false;
  std::string recorder;
};

void work_for(double seconds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  volatile double x = 1;
  while (std::chrono::steady_clock::now() < end) x = x * 1.000001;
}

void misbehave(const std::string& event, const Request& request, World& world, int step) {
  if (event == "kill") kill(getpid(), SIGKILL);
  if (event == "segfault") kill(getpid(), SIGSEGV);
  if (event == "stop") kill(getpid(), SIGSTOP);
  if (event == "exit") _exit(0);
  if (event == "twice") work_for(0.1);  // by then rank 0 is at this step, too
  if (event == "throw" || event == "twice")
    throw IoError(fmt::format("corpus.bin: unreadable at step {}", step));
  if (event == "refuse")
    throw ConfigError(fmt::format("run.toml:1: a mistake that rank {} finds.", world.rank()));
  if (event == "kill-parent") kill(getppid(), SIGKILL);
  if (event == "slow") work_for(1.5 * request.timeout_seconds);
}

WorldOptions options_of(const Request& request) {
  WorldOptions options;
  options.timeout = std::chrono::milliseconds(static_cast<int64_t>(request.timeout_seconds * 1e3));
  options.connect_timeout = std::chrono::milliseconds(static_cast<int64_t>(request.connect_seconds * 1e3));
  if (!request.recorder.empty()) options.recorder_folder = request.recorder;
  options.backend = request.backend == "gloo"    ? BackendKind::gloo
                    : request.backend == "local" ? BackendKind::local
                                                 : BackendKind::automatic;
  return options;
}

void run(World& world, const Request& request, const SignalFlags& signals) {
  const std::vector<std::string> event = split(request.event, ':');
  const Group all = world.group();
  at::Tensor x = at::ones({1024});
  for (int step = 0; step < request.steps || request.until_stopped; step++) {
    world.set_step(step);
    const bool now = world.rank() == std::stoi(event[1]) && step == std::stoi(event[2]);
    if (now) misbehave(event[0], request, world, step);
    if (event[0] == "twice" && world.rank() == 0 && step == std::stoi(event[2])) {
      work_for(0.5);
      throw IoError("disk full");
    }
    x.fill_(world.rank() + 1);
    if (!(now && event[0] == "skip")) all_reduce(x, all);
    const double expected = world.size() * (world.size() + 1) / 2.0;
    if (x[0].item<double>() != expected && !now) throw InternalError("wrong sum");
    at::Tensor stop = at::full({1}, signals.stop_requested() ? 1.0 : 0.0);
    all_reduce(stop, all, ReduceOp::max);
    if (world.rank() == 0 && step == 0) fmt::print(stderr, "first step done\n");
    if (stop.item<double>() > 0)
      throw Error(fmt::format("stopped by a signal at step {}", step), ExitCode::preempted);
    if (request.until_stopped) usleep(2000);
  }
  barrier(all);
}

}  // namespace

int main(int argc, char** argv) {
  Request request;
  CLI::App app("ranks");
  app.add_option("--launch", request.launch);
  app.add_option("--steps", request.steps);
  app.add_option("--timeout", request.timeout_seconds);
  app.add_option("--connect", request.connect_seconds);
  app.add_option("--backend", request.backend);
  app.add_option("--event", request.event);
  app.add_option("--recorder", request.recorder, "folder for flight recorders");
  app.add_flag("--until-stopped", request.until_stopped);
  CLI11_PARSE(app, argc, argv);
  std::shared_ptr<World> world;
  std::optional<SignalFlags> signals;  // to the end: a signal may come when all have agreed to stop
  try {
    const RankEnvironment environment = environment_from_launcher();
    if (request.launch > 0 && environment.launcher == "single")
      return launch_local(request.launch, {argv, argv + argc});
    world = World::connect(environment, options_of(request));
    if (const std::vector<std::string> event = split(request.event, ':');
        event[0] == "config" || event[0] == "diverge") {
      if (world->rank() == std::stoi(event[1])) work_for(1e-3 * std::stoi(event[2]));
      if (event[0] == "diverge") throw NumericsError("step 4: NaN or Inf in the loss.");
      throw ConfigError("run.toml:1: a mistake that all ranks find.");
    }
    const clock_t before = clock();
    run(*world, request, signals.emplace());
    fmt::print("rank {} of {} by {} over {}, local {} of {}, {} threads, job {}, {:.3f} s of a core: done\n",
               world->rank(), world->size(), environment.launcher, world->group().backend(),
               environment.local_rank, environment.local_world_size,
               getenv("OMP_NUM_THREADS") ? getenv("OMP_NUM_THREADS") : "?", world->environment().job,
               static_cast<double>(clock() - before) / CLOCKS_PER_SEC);
  } catch (const std::exception& error) {
    return report_failure(error, world.get());
  }
  return 0;
}
