// SPDX-License-Identifier: Apache-2.0
// The tensor modes side by side: speed, bytes sent and memory per rank.
//
//   build/bench/bench_tensor_modes [ranks = 4] [--model NAME] [--rounds 3]       # small models on 1, 4 or 8 processes of this host
//   build/bench/bench_tensor_modes --plan [--model NAME] [--mode NAME]            # published sizes on 64 and 512 ranks, nobody is started
//
// A step is that of a run: forward, backward, gradient norm, AdamW. `planned_*` is the same rank on meta tensors. --plan also seeks the largest
// batch whose peak fits into a device. JSON lines.
#include <ATen/Parallel.h>

#include <map>
#include <thread>

#include "bench/timing.h"
#include "colossal/base/error.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/comm/launch/launcher.h"
#include "colossal/models/family.h"
#include "colossal/train/rehearsal.h"

using namespace colossal;
using parallel::TensorMode;
using parallel::TensorParallel;
using train::Rehearsal;
using train::StepCost;

namespace {

constexpr int64_t kSteps = 3;  // of a round, of which the fastest counts

struct Options {
  int num_ranks = 4;
  int64_t rounds = 3;
  bool plan = false;
  std::string model = "";
  std::string mode = "";
};

struct Named {
  std::string name;
  Rehearsal rehearsal;  // but for the mode
};

std::string_view mode_name(const TensorParallel& how) {
  return how.mode == TensorMode::none ? "dense" : parallel::kTensorModes[static_cast<size_t>(how.mode)];
}

// Positions per sequence, of a step on `r`.
int64_t length_of(const Rehearsal& r) {
  return r.sequence_length > 0 ? r.sequence_length : models::complete(r.model).max_positions;
}

Json row_of(const Named& model, const Rehearsal& r) {
  return {{"benchmark", "tensor_modes"}, {"model", model.name},     {"mode", mode_name(r.tensor)},
          {"ranks", r.tensor.size},      {"depth", r.tensor.depth}, {"batch", r.batch_size}};
}

// ---- real ranks

std::vector<Named> small_models() {
  std::vector<Named> all;
  for (const std::string family : {"gpt2", "vit", "bert", "llama", "palm"}) {
    models::ModelConfig c = models::family(family).usual;
    c.num_layers = 4;
    c.hidden_size = 256;
    c.num_heads = 8;
    c.vocab_size = 1024;  // as many times the width as in GPT-3
    c.max_positions = 128;
    c.image = {.size = 80, .patch = 8, .channels = 3, .num_classes = 100};  // 101 positions
    all.push_back({family, {.model = c, .batch_size = 16}});
  }
  return all;
}

std::vector<TensorParallel> modes_on(int ranks) {
  if (ranks == 1) return {{}};
  std::vector<TensorParallel> all = {{TensorMode::one_d, ranks}, {TensorMode::one_d_sequence, ranks}};
  for (const TensorParallel& how : {TensorParallel{TensorMode::two_d, ranks},
                                    {TensorMode::two_and_half_d, ranks, 2},
                                    {TensorMode::three_d, ranks}}) {
    if (parallel::problem(how).empty()) all.push_back(how);
  }
  return all;
}

StepCost planned(const Rehearsal& r, int rank) {
  return train::rehearse(comm::World::fake(rank, static_cast<int>(r.tensor.size), at::kMeta), r);
}

StepCost planned_for_all(const Rehearsal& r) {
  StepCost most;
  for (int rank = 0; rank < r.tensor.size; ++rank) {
    const StepCost cost = planned(r, rank);
    most.bytes_sent = std::max(most.bytes_sent, cost.bytes_sent);
    most.peak_bytes = std::max(most.peak_bytes, cost.peak_bytes);
  }
  return most;
}

// The slowest rank, the one that sends most and the one that needs most: not always the same.
StepCost measured(const std::shared_ptr<comm::World>& world, const Rehearsal& r) {
  StepCost cost = train::rehearse(world, r);
  const at::Tensor most =
      at::tensor({cost.seconds, static_cast<double>(cost.bytes_sent), static_cast<double>(cost.peak_bytes)},
                 at::kDouble);
  comm::all_reduce(most, world->group(), comm::ReduceOp::max);
  cost.seconds = most[0].item<double>();
  cost.bytes_sent = most[1].item<int64_t>();
  cost.peak_bytes = most[2].item<int64_t>();
  return cost;
}

void measure(const std::shared_ptr<comm::World>& world, const Options& options) {
  const std::vector<TensorParallel> modes = modes_on(world->size());
  for (const Named& model : small_models()) {
    if (!options.model.empty() && options.model != model.name) continue;
    Rehearsal r = model.rehearsal;
    r.num_steps = kSteps;
    const auto tokens = static_cast<double>(r.batch_size * length_of(r));
    std::vector<bench::Samples> speed(modes.size());  // tokens per second; modes take turns
    std::vector<StepCost> cost(modes.size());
    for (int64_t round = 0; round < options.rounds; ++round) {
      for (size_t i = 0; i < modes.size(); ++i) {
        r.tensor = modes[i];
        cost[i] = measured(world, r);
        speed[i].add(tokens / cost[i].seconds);
      }
    }
    for (size_t i = 0; i < modes.size() && world->rank() == 0; ++i) {
      r.tensor = modes[i];
      const StepCost planned = planned_for_all(r);
      Json row = row_of(model, r);
      row["rounds"] = options.rounds;
      row["tokens_per_second"] = speed[i].json();
      row["bytes_sent"] = cost[i].bytes_sent;
      row["peak_bytes"] = cost[i].peak_bytes;
      row["planned_bytes_sent"] = planned.bytes_sent;
      row["planned_peak_bytes"] = planned.peak_bytes;
      fmt::print("{}\n", row.dump());
      std::fflush(stdout);
    }
  }
}

// ---- planned runs

struct Plan {
  Named model;
  int64_t device_gib;
  std::vector<TensorParallel> modes;
};

// The 64-GPU example of the ancestor (ColossalAI-Examples, vision_transformer/hybrid_parallel/configs) on GPUs of 40 GB, and GPT-3 on 80 GB.
// 1D gives each rank whole heads, of which GPT-3 has 96: 48 ranks are the most below 64.
std::vector<Plan> plans() {
  models::ModelConfig vit = models::family("vit").usual;
  vit.num_layers = 32;
  vit.hidden_size = 4096;
  vit.num_heads = 64;
  const auto text = [](const char* preset) {
    return Rehearsal{.model = models::preset(preset), .batch_size = 64, .compute = at::kBFloat16};
  };
  return {{{"vit 32 x 4096", {.model = vit, .batch_size = 512, .compute = at::kBFloat16}},
           40,
           {{TensorMode::one_d, 64},
            {TensorMode::one_d_sequence, 64},
            {TensorMode::two_d, 64},
            {TensorMode::two_and_half_d, 64, 4},
            {TensorMode::three_d, 64}}},
          {{"gpt3-175b", text("gpt3-175b")},
           80,
           {{TensorMode::one_d, 48},
            {TensorMode::one_d_sequence, 48},
            {TensorMode::one_d, 64},
            {TensorMode::two_d, 64},
            {TensorMode::two_and_half_d, 64, 4},
            {TensorMode::three_d, 64},
            {TensorMode::two_and_half_d, 512, 2},
            {TensorMode::two_and_half_d, 512, 8},
            {TensorMode::three_d, 512}}}};
}

// Rows that the ranks share evenly.
int64_t rows_together(const TensorParallel& how) {
  const comm::MeshShape mesh(parallel::tensor_axes(how));
  return mesh.axes_size(parallel::arrangement(how.mode).stream.batch);
}

// The largest multiple of rows_together whose step fits; 0: not even one.
int64_t largest_batch(Rehearsal r, int64_t device_bytes) {
  const int64_t unit = rows_together(r.tensor);
  const auto fits = [&](int64_t units) {
    r.batch_size = units * unit;
    return planned(r, 0).peak_bytes <= device_bytes;
  };
  int64_t good = 0, bad = 1;
  while (fits(bad)) good = std::exchange(bad, 2 * bad);
  while (bad - good > 1) {
    const int64_t middle = good + (bad - good) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return good * unit;
}

void plan(const Options& options) {
  for (const Plan& p : plans()) {
    if (!options.model.empty() && !p.model.name.starts_with(options.model)) continue;
    std::map<int64_t, int64_t> batch_of_1d;  // by number of ranks
    for (const TensorParallel& how : p.modes) {
      if (!options.mode.empty() && options.mode != mode_name(how)) continue;
      Rehearsal r = p.model.rehearsal;
      r.tensor = how;
      Json row = row_of(p.model, r);
      try {
        const auto start = std::chrono::steady_clock::now();
        row.update(train::to_json(planned(r, 0)));
        row.erase("seconds");
        row["device_bytes"] = p.device_gib << 30;
        const int64_t most = largest_batch(r, p.device_gib << 30);
        row["largest_batch"] = most;
        if (how.mode == TensorMode::one_d) batch_of_1d[how.size] = most;
        if (const auto found = batch_of_1d.find(how.size); found != batch_of_1d.end())
          row["times_1d"] = static_cast<double>(most) / static_cast<double>(found->second);
        row["planning_seconds"] =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
      } catch (const Error& error) {
        row["refused"] = error.what();
      }
      fmt::print("{}\n", row.dump());
      std::fflush(stdout);
    }
  }
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view arg = argv[i];
    if (arg == "--plan") {
      options.plan = true;
    } else if (arg == "--model" && i + 1 < argc) {
      options.model = argv[++i];
    } else if (arg == "--mode" && i + 1 < argc) {
      options.mode = argv[++i];
    } else if (arg == "--rounds" && i + 1 < argc) {
      options.rounds = std::stoll(argv[++i]);
    } else {
      options.num_ranks = std::stoi(argv[i]);
    }
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::shared_ptr<comm::World> world;
  try {
    if (options.plan) {
      plan(options);
      return 0;
    }
    const comm::RankEnvironment environment = comm::environment_from_launcher();
    if (options.num_ranks > 1 && environment.launcher == "single")
      return comm::launch_local(options.num_ranks, {argv, argv + argc});
    at::set_num_threads(
        std::max(1, static_cast<int>(std::thread::hardware_concurrency()) / options.num_ranks));
    world = comm::World::connect(environment);
    measure(world, options);
  } catch (const std::exception& error) {
    return comm::report_failure(error, world.get());
  }
}
