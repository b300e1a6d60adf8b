// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/build.h"

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/comm/collectives.h"
#include "colossal/models/family.h"
#include "colossal/nn/parameter.h"
#include "colossal/parallel/tensor/tensor_factory.h"
#include "colossal/train/config/components.h"
#include "colossal/train/run_state.h"

namespace colossal::train {
namespace {

// model.load names a Hugging Face folder, else a checkpoint of a run in any layout.
bool is_huggingface(const std::filesystem::path& path) {
  return std::filesystem::exists(path / "config.json");
}

}  // namespace

Json model_json(const models::ModelConfig& config) {
  return {{"family", config.family}, {"config", models::family(config.family).foreign.write(config)}};
}

models::ModelConfig model_config_from(const Json& json) {
  return models::family(json.at("family").get<std::string>())
      .foreign.read(json.at("config"), "manifest.json: state.model.config");
}

at::Device device_of(const RunConfig& config) {
  const auto refuse = [&](const std::string& key, std::string_view text) {
    const auto origin = config.origins.find(key);
    const std::string place = origin == config.origins.end() ? "" : origin->second.text();
    throw ConfigError(fmt::format("{}{}{}", place, place.empty() ? "" : ": ", text));
  };
  if (config.run.device == "cuda" && !at::hasCUDA()) {
    refuse("run.device",
           "run.device = \"cuda\", but this build or this machine has no GPU (`colossal doctor` lists "
           "the backends). Allowed here: auto, cpu.");
  }
  if (config.comm.backend == "nccl" && !at::hasCUDA()) {
    refuse("comm.backend",
           "comm.backend = \"nccl\" needs GPUs, but this build or this machine has none (`colossal doctor` "
           "lists the backends). Allowed here: auto, local, gloo.");
  }
  const bool cuda = config.run.device == "cuda" || (config.run.device == "auto" && at::hasCUDA());
  return cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
}

std::string model_summary(const models::ModelConfig& config) {
  const models::ImageConfig& image = config.image;
  const std::string what = models::family(config.family).task == models::Task::image_classification
                               ? fmt::format("{} classes of {} x {} pixels in patches of {}",
                                             image.num_classes, image.size, image.size, image.patch)
                               : fmt::format("vocabulary {}", config.vocab_size);
  return fmt::format("{} {} x {}, {} heads, {}: {} parameters", config.family, config.num_layers,
                     config.hidden_size, config.num_heads, what,
                     human_count(static_cast<double>(models::count_parameters(config).total)));
}

std::vector<comm::Axis> mesh_axes(const ParallelSection& parallel) {
  std::vector<comm::Axis> axes = {{"data", static_cast<int>(parallel.data.value())}};
  for (comm::Axis& axis : parallel::tensor_axes(parallel.tensor.how())) axes.push_back(std::move(axis));
  return axes;
}

std::unique_ptr<nn::LayerFactory> make_factory(const ParallelSection& parallel, const comm::Mesh& mesh,
                                               std::shared_ptr<nn::StepState> state,
                                               const nn::FactoryOptions& options) {
  const parallel::TensorOptions tensor{.keep = parallel.tensor.keep_gathered ? parallel::Keep::gathered
                                                                             : parallel::Keep::shards};
  return parallel::make_factory(mesh, std::move(state), parallel.tensor.mode, options, tensor);
}

data::Datasets open_datasets(const RunConfig& config, const Context& context) {
  data::DataOptions options = data_options(config);
  if (config.model.load) {
    const models::ModelConfig loaded = architecture(config, {});
    const models::ImageConfig& image = loaded.image;
    options.sizes = {loaded.vocab_size, image.size, image.channels, image.num_classes};
    options.next_sentence = loaded.next_sentence;
  }
  options.tokenize.on_file = [](const data::TokenizeProgress& done) {
    if (done.replaces_damaged)
      fmt::print(stderr, "data: the tokens of {} in data.cache were damaged and are written anew\n",
                 done.file.string());
  };
  data::Datasets data;
  std::vector<std::string> problems;
  try {
    if (context.speaks()) data = data::open_data(options);
  } catch (const ConfigError& error) {
    problems = error.problems();
  }
  problems = comm::all_gather_json(problems, context.mesh.all()).front().get<std::vector<std::string>>();
  if (!problems.empty()) throw ConfigError(problems);
  return context.speaks() ? data : data::open_data(options);
}

models::ModelConfig architecture(const RunConfig& config, const data::DataSizes& open) {
  const ModelSection& section = config.model;
  if (!section.load) return model_config(section, open);
  const std::filesystem::path path = *section.load;
  models::ModelConfig loaded =
      is_huggingface(path) ? checkpoint::HuggingFaceFolder(path).config()
                           : model_config_from(checkpoint::Checkpoint(path).manifest().state.at("model"));
  loaded.dropout = section.dropout;
  loaded.attention_dropout = section.attention_dropout;
  return loaded;
}

std::shared_ptr<models::Model> build_model(const RunConfig& config, const Context& context,
                                           const data::DataSizes& open) {
  auto state = std::make_shared<nn::StepState>();
  state->seed = static_cast<uint64_t>(config.run.seed);
  state->global_rows = config.train.global_batch_size;
  const auto make =
      make_factory(config.parallel, context.mesh, state,
                   {.compute = scalar_type(config.train.precision), .device = context.device()});
  auto model = models::build(architecture(config, open), *make);
  const std::vector<nn::Parameter> parameters = nn::parameters(*model, context.mesh);
  const std::filesystem::path path = config.model.load.value_or("");
  if (!config.model.load) {
    nn::initialize(parameters, state->seed, context.rank());
  } else if (is_huggingface(path)) {
    checkpoint::HuggingFaceFolder(path).load(parameters, context.rank());
  } else {
    load_weights(parameters, checkpoint::Checkpoint(path), context.rank());
  }
  return model;
}

Engine build_engine(const RunConfig& config, const Context& context,
                    const std::shared_ptr<models::Model>& model) {
  std::vector<nn::Parameter> parameters = nn::parameters(*model, context.mesh);
  EngineOptions options{.accumulation = config.accumulation_steps(),
                        .loss_scope = LossScope::global_sum,
                        .clip_norm = config.train.clip_norm,
                        .on_nonfinite = config.train.on_nonfinite == OnNonfinite::skip
                                            ? NonfinitePolicy::skip
                                            : NonfinitePolicy::stop,
                        .schedule = schedule_options(config),
                        .bucket_bytes = static_cast<int64_t>(config.parallel.bucket_mb * (1 << 20)),
                        .overlap = config.parallel.overlap,
                        .state = &model->state()};
  if (config.train.precision == Precision::fp16) options.loss_scale = loss_scale_options(config.train);
  return Engine(
      context, model,
      optim::make_optimizer(optimizer_options(config.optimizer), std::move(parameters), context.mesh),
      std::move(options));
}

data::Loader build_loader(const RunConfig& config, const Context& context,
                          std::shared_ptr<const data::Dataset> dataset) {
  return data::Loader(std::move(dataset),
                      {.split = {.global_batch_size = config.train.global_batch_size,
                                 .microbatch_size = config.train.microbatch_size.value(),
                                 .data_rank = context.data_index(),
                                 .data_size = context.data_size()},
                       .seed = static_cast<uint64_t>(config.run.seed),
                       .shuffle = config.data.shuffle ? data::Shuffle::yes : data::Shuffle::no,
                       .prefetch = config.data.prefetch});
}

}  // namespace colossal::train
