// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/trainer.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <thread>

#include "colossal/base/text.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/comm/collectives.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/signals.h"
#include "colossal/models/family.h"
#include "colossal/models/generate.h"
#include "colossal/tensor/allocator.h"
#include "colossal/tensor/matmul_peak.h"
#include "colossal/train/build.h"
#include "colossal/train/config/components.h"
#include "colossal/train/doctor.h"
#include "colossal/train/evaluate.h"
#include "colossal/train/monitor/monitor.h"
#include "colossal/train/monitor/profiler.h"
#include "colossal/train/resume.h"
#include "colossal/train/run_state.h"

namespace colossal::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What a step takes, as people count it.
Load load_of(const RunConfig& config, const models::ModelConfig& model) {
  const bool images = models::family(model.family).task == models::Task::image_classification;
  const int64_t tokens = images ? model.max_positions : config.data.sequence_length;
  Load load{.kind = images ? Load::Kind::images : Load::Kind::tokens,
            .samples = config.train.global_batch_size,
            .sample_tokens = images ? 1 : tokens};
  load.flops = models::training_flops_per_token(model, tokens) * static_cast<double>(load.samples * tokens);
  return load;
}

Validation validation_of(const Evaluation& result, const models::ModelConfig& model) {
  const models::Task task = models::family(model.family).task;
  const auto found = result.labels.find("labels");
  if (found == result.labels.end()) return {};
  Validation validation{.loss = result.loss, .num_targets = found->second.num_targets};
  if (task != models::Task::causal_language) validation.accuracy = found->second.accuracy;
  for (const auto& [labels, name] : models::loss_parts(model)) {
    const LabelScore& score = result.labels.at(labels);
    validation.parts[name] = {.loss = score.loss, .accuracy = score.accuracy};
  }
  validation.targets = task == models::Task::image_classification ? "images"
                       : task == models::Task::masked_language    ? "masked tokens"
                                                                  : "tokens";
  return validation;
}

// Ranks and threads that fight for the cores of this host.
void warn_of_cores(const RunConfig& config) {
  const auto warning =
      cores_warning(comm::environment_from_launcher().local_world_size, at::get_num_threads(),
                    static_cast<int>(std::thread::hardware_concurrency()),
                    config.run.threads > 0 ? "run.threads" : "OMP_NUM_THREADS");
  if (warning) fmt::print(stderr, "warning: {}\n", *warning);
}

}  // namespace

// What the ranks agree on after a step.
struct Trainer::StepOutcome {
  StepReport report;
  std::exception_ptr failure;  // train.on_nonfinite = "stop": set on all ranks alike
  double seconds = 0;
  double data_wait_seconds = 0;
  double communication_seconds = 0;
  int64_t peak_memory_bytes = 0;  // of the rank with the most
  bool save_requested = false;
  bool stop_requested = false;
};

struct Trainer::Parts {
  data::Datasets data;
  std::shared_ptr<models::Model> model;
  Load load;
  Engine engine;
  data::Loader loader;
  std::unique_ptr<checkpoint::FolderLock> lock;  // rank 0
  std::unique_ptr<Monitor> monitor;              // rank 0
  std::unique_ptr<StepProfiler> profiler;
  comm::SignalFlags signals = {};
  int64_t last_saved = -1;
  bool profile_shown = false;
};

LaunchOptions launch_options(const RunConfig& config) {
  LaunchOptions options;
  options.world.backend = backend_kind(config.comm);
  options.world.timeout = std::chrono::milliseconds(static_cast<int64_t>(config.comm.timeout_seconds * 1000));
  options.world.connect_timeout =
      std::chrono::milliseconds(static_cast<int64_t>(config.comm.connect_timeout_seconds * 1000));
  options.world.device = device_of(config);
  options.world.recorder_folder = RunFolder{config.run.output}.flight_recorder();
  options.axes = mesh_axes(config.parallel);
  options.threads = static_cast<int>(config.run.threads);
  return options;
}

Trainer::Trainer(RunConfig config, Context context, Start start)
    : config_(std::move(config)), context_(std::move(context)) {
  std::unique_ptr<checkpoint::FolderLock> lock;
  if (context_.speaks()) lock = std::make_unique<checkpoint::FolderLock>(config_.checkpoint_folder());
  std::optional<std::filesystem::path> resumed;
  if (start == Start::resume) resumed = checkpoint_to_resume(config_, context_);
  if (start == Start::anew && context_.speaks()) check_holds_no_run(config_);
  data::Datasets datasets = open_datasets(config_, context_);
  std::shared_ptr<models::Model> model = build_model(config_, context_, datasets.sizes);
  const Load load = load_of(config_, model->config());
  Engine engine = build_engine(config_, context_, model);
  data::Loader loader = build_loader(config_, context_, datasets.train);
  // NOLINTNEXTLINE(modernize-make-unique): SignalFlags stays where it was made
  parts_.reset(new Parts{.data = std::move(datasets),
                         .model = std::move(model),
                         .load = load,
                         .engine = std::move(engine),
                         .loader = std::move(loader),
                         .lock = std::move(lock),
                         .monitor = nullptr,
                         .profiler = nullptr});
  if (resumed) resume(*resumed);
  if (start == Start::overwrite && context_.speaks()) remove_run(config_);
  const int64_t steps_done = parts_->engine.num_steps();
  // Counted from where this run begins or goes on: its first steps warm up.
  parts_->profiler = std::make_unique<StepProfiler>(
      context_, ProfileOptions{.folder = RunFolder{config_.run.output}.profile(),
                               .first_step = steps_done + config_.train.profile_start,
                               .num_steps = config_.train.profile ? config_.train.profile_steps : 0});
  if (context_.speaks()) warn_of_cores(config_);
  const double peak_flops = measure_peak_flops();
  if (context_.speaks()) {
    parts_->monitor =
        std::make_unique<Monitor>(config_, MonitorStart{.model = model_summary(parts_->model->config()),
                                                        .steps_done = steps_done,
                                                        .load = load,
                                                        .peak_flops = peak_flops,
                                                        .world_size = context_.world->size()});
  }
}

// Of all ranks together, measured by all at the same time; 0 where nobody is shown it.
double Trainer::measure_peak_flops() const {
  if (config_.run.progress == ProgressStyle::none) return 0;
  at::Tensor flops =
      at::full({1}, tensor::matmul_peak_flops(scalar_type(config_.train.precision), context_.device()),
               at::dtype(at::kDouble).device(context_.device()));
  comm::all_reduce(flops, context_.mesh.all());
  return flops.item<double>();
}

Trainer::~Trainer() = default;

Trainer::StepOutcome Trainer::train_step() {
  const auto start = Clock::now();
  context_.world->set_step(parts_->engine.num_steps() + 1);
  const double waited = context_.world->recorder().total().waited_seconds;
  Parts& p = *parts_;
  p.profiler->begin_step(p.engine.num_steps() + 1);
  p.profiler->phase("data");
  StepOutcome outcome;
  const std::vector<data::Batch> batches = p.loader.next_step();
  outcome.data_wait_seconds = p.loader.take_wait_seconds();

  const models::TargetCounts targets = count_global_targets(batches, context_);
  p.engine.zero_grad();
  for (const data::Batch& batch : batches) {
    p.model->state().first_row = batch.first_row;
    p.profiler->phase("forward");
    const models::Losses losses = p.model->losses(models::moved_to(batch.inputs, context_.device()), targets);
    p.profiler->phase("backward");
    p.engine.backward(losses);
  }
  p.profiler->phase("optimizer");
  try {
    outcome.report = p.engine.step();
  } catch (const NonfiniteStep& spoiled) {
    outcome.report = spoiled.report();
    outcome.failure = std::current_exception();
  }
  p.profiler->phase("report");

  // What all ranks must agree on: signals arrive at different steps.
  at::Tensor peaks =
      at::tensor({p.signals.take_save_request() ? 1.0 : 0.0, p.signals.stop_requested() ? 1.0 : 0.0,
                  static_cast<double>(tensor::memory_stats().peak_bytes)},
                 at::kDouble)
          .to(context_.device());
  comm::all_reduce(peaks, context_.mesh.all(), comm::ReduceOp::max);
  peaks = peaks.cpu();
  outcome.save_requested = peaks[0].item<double>() > 0;
  outcome.stop_requested = peaks[1].item<double>() > 0;
  outcome.peak_memory_bytes = static_cast<int64_t>(peaks[2].item<double>());
  outcome.communication_seconds = context_.world->recorder().total().waited_seconds - waited;
  outcome.seconds = seconds_since(start);
  p.profiler->end_step();
  return outcome;
}

void Trainer::report(const StepOutcome& outcome) {
  Parts& p = *parts_;
  if (!p.monitor) return;
  StepMetrics metrics{.step = outcome.report.step,
                      .loss = outcome.report.loss,
                      .grad_norm = outcome.report.grad_norm,
                      .learning_rate = outcome.report.learning_rate,
                      .load_per_second = static_cast<double>(p.load.items()) / outcome.seconds,
                      .kind = p.load.kind,
                      .step_seconds = outcome.seconds,
                      .peak_memory_bytes = outcome.peak_memory_bytes,
                      .data_wait_seconds = outcome.data_wait_seconds,
                      .communication_seconds = outcome.communication_seconds,
                      .loss_scale = outcome.report.loss_scale,
                      .applied = outcome.report.applied,
                      .nonfinite = outcome.report.nonfinite,
                      .failed = outcome.failure != nullptr};
  for (const auto& [labels, name] : models::loss_parts(p.model->config()))
    metrics.parts[name].loss = outcome.report.loss_parts.at(labels);
  p.monitor->step(std::move(metrics));
}

// Once, when it is written.
void Trainer::show_profile() {
  Parts& p = *parts_;
  if (!p.monitor || !p.profiler->finished() || std::exchange(p.profile_shown, true)) return;
  p.monitor->note(fmt::format("profile: {}\n{}", p.profiler->path().string(), p.profiler->summary()));
}

ExitCode Trainer::run() {
  Parts& p = *parts_;
  const int64_t last = config_.train.steps;
  const auto due = [&](int64_t every) {
    return every > 0 && (p.engine.num_steps() % every == 0 || p.engine.num_steps() == last);
  };
  bool stopped = false;
  while (p.engine.num_steps() < last && !stopped) {
    const StepOutcome outcome = train_step();
    report(outcome);
    if (outcome.failure) p.profiler->finish();
    show_profile();
    if (outcome.failure) std::rethrow_exception(outcome.failure);
    if (due(config_.train.evaluate_every)) evaluate();
    if (due(config_.train.sample_every)) sample();
    stopped = outcome.stop_requested && p.engine.num_steps() < last;
    const bool at_end = p.engine.num_steps() == last && config_.checkpoint.save_at_end;
    if (due(config_.checkpoint.every) || outcome.save_requested || stopped || at_end) save();
  }
  p.profiler->finish();
  show_profile();
  if (p.monitor && config_.train.profile && !p.profiler->finished())
    p.monitor->note(fmt::format("profile: none, the run ended before its step {} (train.profile_start)",
                                config_.train.profile_start));
  if (p.monitor) p.monitor->finish(stopped);
  comm::barrier(context_.mesh.all());
  return stopped ? ExitCode::preempted : ExitCode::ok;
}

void Trainer::evaluate() {
  Parts& p = *parts_;
  if (!p.data.validation) return;
  p.engine.eval();
  const Evaluation result = train::evaluate(*p.model, p.data.validation,
                                            {.global_batch_size = config_.train.global_batch_size,
                                             .microbatch_size = config_.train.microbatch_size.value(),
                                             .max_batches = config_.train.evaluate_batches},
                                            context_);
  p.engine.train();
  if (p.monitor) {
    p.monitor->validation(p.engine.num_steps(), validation_of(result, p.model->config()));
  }
}

// Every rank generates, because a model may be spread over ranks; all arrive at the same text.
void Trainer::sample() {
  Parts& p = *parts_;
  const TrainSection& t = config_.train;
  const auto writer = std::dynamic_pointer_cast<models::LanguageModel>(p.model);
  if (!writer) throw InternalError("train.sample_every is refused for models that cannot write");
  std::vector<int32_t> ids = p.data.tokenizer->encode(t.sample_prompt);
  if (ids.empty()) ids.push_back(p.data.tokenizer->end_of_text().value_or(0));
  const int64_t room = p.model->config().max_positions - static_cast<int64_t>(ids.size());
  if (room < 1) {
    if (p.monitor) {
      p.monitor->note(
          fmt::format("step {}: no sample: train.sample_prompt has {} tokens, and the model takes {} "
                      "(model.max_positions), those to write included",
                      p.engine.num_steps(), ids.size(), p.model->config().max_positions));
    }
    return;
  }
  const at::Tensor prompt =
      at::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0).to(context_.device());
  p.engine.eval();
  const at::Tensor out = models::generate(
      *writer, prompt,
      {.max_new_tokens = std::min(t.sample_tokens, room),
       .sampling = {.temperature = t.sample_temperature, .top_k = t.sample_top_k, .top_p = t.sample_top_p},
       .seed = static_cast<uint64_t>(config_.run.seed + p.engine.num_steps())});
  p.engine.train();
  const at::Tensor fresh = out[0].slice(0, prompt.size(1)).to(at::kCPU).contiguous();
  const std::string text =
      p.data.tokenizer->decode(std::span<const int64_t>(fresh.data_ptr<int64_t>(), fresh.numel()));
  if (p.monitor) p.monitor->sample(p.engine.num_steps(), t.sample_prompt, text);
}

void Trainer::save() {
  Parts& p = *parts_;
  if (p.last_saved == p.engine.num_steps()) return;
  const auto start = Clock::now();
  const Json state = {{"engine", p.engine.state()},
                      {"loader", p.loader.state()},
                      {"data", p.data.fingerprint},
                      {"seed", config_.run.seed},
                      {"model", model_json(p.model->config())},
                      {"tokenizer", config_.data.tokenizer},
                      {"config", run_config_toml(config_)}};
  const auto folder = checkpoint::save({.folder = config_.checkpoint_folder(),
                                        .step = p.engine.num_steps(),
                                        .tensors = run_tensors(p.engine),
                                        .state = state,
                                        .keep = config_.checkpoint.keep},
                                       context_.mesh.all());
  p.last_saved = p.engine.num_steps();
  if (p.monitor) p.monitor->saved(p.engine.num_steps(), folder, seconds_since(start));
}

void Trainer::resume(const std::filesystem::path& folder) {
  Parts& p = *parts_;
  const checkpoint::Checkpoint checkpoint(folder);
  check_same_run(config_, p.model->config(), p.loader.num_samples(), checkpoint);
  if (context_.speaks()) warn_of_other_data(p.data.fingerprint, checkpoint);
  load_run_tensors(p.engine, checkpoint);
  p.engine.load_state(checkpoint.manifest().state.at("engine"));
  p.loader.load_state(checkpoint.manifest().state.at("loader"));
  p.last_saved = p.engine.num_steps();
}

}  // namespace colossal::train
