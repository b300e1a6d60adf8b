// SPDX-License-Identifier: Apache-2.0
// The Gloo backend against c10d's own collectives over Gloo: the same processes, the same buffers, taking turns.
//
//   build/bench/bench_gloo_vs_c10d [ranks = 2] [--op NAME] [--min-bytes N] [--max-bytes N]
//
// fp32, loopback; `bytes` is the full tensor of each rank. Ours is what a user calls, checks and recording included. A sample is
// the time per call over a batch, of the slowest rank; JSON lines in microseconds.
#include <ATen/Parallel.h>

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "bench/timing.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/launcher.h"
#include "colossal/comm/store_state.h"
#include "colossal/tensor/allocator.h"

using namespace colossal;
using namespace colossal::comm;

namespace {

struct Options {
  int num_ranks = 2;
  int64_t min_bytes = 4096;
  int64_t max_bytes = int64_t{64} << 20;
  std::string only = "";
};

struct Sides {
  std::string op;
  std::function<void()> c10d;
  std::function<void()> ours;
};

using Raw = c10d::ProcessGroupGloo;

c10::intrusive_ptr<Raw> connect_raw(const World& world, const Store& store) {
  auto options = Raw::Options::create(world.options().timeout);
  options->devices.push_back(Raw::createDeviceForHostname("127.0.0.1"));
  return c10::make_intrusive<Raw>(store.state().store, world.rank(), world.size(), options);
}

// x and y are of the same size. Pairs of ranks 2k and 2k + 1 send to and fro.
std::vector<Sides> sides(Raw& raw, const Group& group, at::Tensor x, at::Tensor y) {
  const int64_t count = x.numel() / group.size();
  at::Tensor part = x.narrow(0, 0, count);
  const int peer = group.index() ^ 1;
  const bool first = group.index() % 2 == 0;
  std::vector<at::Tensor> xs{x}, ys{y}, parts{part};
  std::vector<std::vector<at::Tensor>> pieces;  // of y, on the root
  if (group.index() == 0) pieces.push_back(y.split(count));
  std::vector<int64_t> even;
  return {{"all_reduce", [=, &raw]() mutable { raw.allreduce(xs)->wait(); }, [=] { all_reduce(x, group); }},
          {"all_gather", [=, &raw]() mutable { raw._allgather_base(y, part)->wait(); },
           [=] { all_gather_async(y, part, group).wait(); }},
          {"reduce_scatter", [=, &raw]() mutable { raw._reduce_scatter_base(part, y)->wait(); },
           [=] { reduce_scatter_async(part, y, group).wait(); }},
          {"all_to_all", [=, &raw]() mutable { raw.alltoall_base(y, x, even, even)->wait(); },
           [=] { all_to_all(x, group); }},
          {"broadcast", [=, &raw]() mutable { raw.broadcast(xs)->wait(); }, [=] { broadcast(x, group); }},
          {"reduce", [=, &raw]() mutable { raw.reduce(xs)->wait(); }, [=] { reduce(x, group); }},
          {"gather", [=, &raw]() mutable { raw.gather(pieces, parts)->wait(); },
           [=] { gather_async(y, part, group).wait(); }},
          {"scatter", [=, &raw]() mutable { raw.scatter(parts, pieces)->wait(); },
           [=] { scatter_async(part, y, group).wait(); }},
          {"send and recv",
           [=, &raw]() mutable {
             if (first) raw.send(xs, peer, 0)->wait();
             raw.recv(ys, peer, 0)->wait();
             if (!first) raw.send(xs, peer, 0)->wait();
           },
           [=] {
             if (first) send(x, group, peer);
             recv(y, group, peer);
             if (!first) send(x, group, peer);
           }}};
}

// Seconds per call of the slowest rank. `all` is of another backend: it must not disturb what is measured.
double sample(const std::function<void()>& call, int calls, const Group& all) {
  barrier(all);
  const at::Tensor seconds = at::scalar_tensor(bench::seconds_of([&] {
                                                 for (int i = 0; i < calls; ++i) call();
                                               }) / calls,
                                               at::kDouble);
  all_reduce(seconds, all, ReduceOp::max);
  return seconds.item<double>();
}

Json measure(const Sides& side, int64_t bytes, const Group& all) {
  const int calls = static_cast<int>(std::clamp<int64_t>((int64_t{32} << 20) / bytes, 1, 50));
  const int repeats = bytes >= (16 << 20) ? 9 : 31;
  bench::Samples raw, ours;
  side.c10d();
  side.ours();
  for (int i = 0; i < repeats; ++i) {
    const bool raw_first = i % 2 == 0;
    if (raw_first) raw.add(sample(side.c10d, calls, all));
    ours.add(sample(side.ours, calls, all));
    if (!raw_first) raw.add(sample(side.c10d, calls, all));
  }
  return {{"benchmark", "gloo_vs_c10d"},
          {"op", side.op},
          {"ranks", all.size()},
          {"bytes", bytes},
          {"repeats", repeats},
          {"c10d_us", raw.json(1e6)},
          {"gloo_us", ours.json(1e6)},
          {"speedup", raw.median() / ours.median()},
          {"speedup_of_min", raw.min() / ours.min()}};
}

void run(const RankEnvironment& environment, const Options& options) {
  at::set_num_threads(1);
  tensor::install_caching_allocator();  // as in a run: all_to_all returns a new tensor
  const auto world = World::connect(environment);
  WorldOptions over_gloo = world->options();
  over_gloo.backend = BackendKind::gloo;
  const auto gloo = World::connect(environment, world->store().prefixed("gloo"), over_gloo);
  const auto raw = connect_raw(*world, world->store().prefixed("raw"));
  for (int64_t bytes = 4096; bytes <= options.max_bytes; bytes *= bytes < (256 << 10) ? 64 : 16) {
    if (bytes < options.min_bytes) continue;
    const at::Tensor x = at::zeros({bytes / 4}), y = at::zeros({bytes / 4});
    for (const Sides& side : sides(*raw, gloo->group(), x, y)) {
      if (!options.only.empty() && side.op != options.only) continue;
      const Json row = measure(side, bytes, world->group());
      if (world->rank() == 0) fmt::print("{}\n", row.dump());
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--op" && i + 1 < argc) {
      options.only = argv[++i];
    } else if (arg == "--min-bytes" && i + 1 < argc) {
      options.min_bytes = std::stoll(argv[++i]);
    } else if (arg == "--max-bytes" && i + 1 < argc) {
      options.max_bytes = std::stoll(argv[++i]);
    } else {
      options.num_ranks = std::stoi(argv[i]);
    }
  }
  const RankEnvironment environment = environment_from_launcher();
  if (environment.launcher == "single") return launch_local(options.num_ranks, {argv, argv + argc});
  run(environment, options);
}
