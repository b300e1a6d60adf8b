// SPDX-License-Identifier: Apache-2.0
#include "tests/train/small_run.h"

#include <doctest/doctest.h>

#include "colossal/base/file.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/train/build.h"
#include "tests/support/images.h"

namespace colossal::testing {

using namespace train;

namespace {

constexpr const char* kRun = R"(
[run]
seed = 5
progress = "none"
tensorboard = false
device = "cpu"
[model]
family = "gpt2"
num_layers = 2
hidden_size = 16
num_heads = 2
ffn_size = 24
dropout = 0.2
attention_dropout = 0.2
[train]
steps = 10
global_batch_size = 8
microbatch_size = 2
precision = "fp64"
clip_norm = 0.5
[optimizer]
name = "adamw"
learning_rate = 1e-2
[schedule]
name = "cosine"
warmup_steps = 2
total_steps = 10
[parallel]
bucket_mb = 0.004
[checkpoint]
every = 5
keep = 3
)";

std::string training_text() {
  std::string text;
  for (int i = 0; text.size() < 30 * 12; ++i) text += static_cast<char>('a' + (i * i + i / 7) % 26);
  return text;
}

}  // namespace

RunConfig small_run(const std::filesystem::path& folder, int ranks, const std::vector<std::string>& changes) {
  std::filesystem::create_directories(folder);
  std::vector<std::string> all = {"run.output=" + (folder / "run").string()};
  if (std::ranges::find(changes, "model.family=vit") != changes.end()) {
    const auto images = folder / "train-images-idx3-ubyte";
    if (!std::filesystem::exists(images))
      write_idx(folder, "train", {.count = 30, .height = 12, .width = 12, .classes = 5});
    for (const std::string& change :
         {"data.train=" + images.string(), std::string("data.flip=true"), std::string("data.shift=1")})
      all.push_back(change);
  } else {
    const std::filesystem::path text = folder / "train.txt";
    if (!std::filesystem::exists(text)) write_file_durably(text, training_text());
    all.push_back("data.train=" + text.string());
    all.emplace_back("data.sequence_length=12");
  }
  all.insert(all.end(), changes.begin(), changes.end());
  return parse_run_config(kRun, "run.toml", all, ranks);
}

int64_t run_trainer(const RunConfig& config, Start start) {
  const auto ranks = static_cast<int>(config.parallel.data.value() * config.parallel.tensor.size);
  int64_t bytes_sent = 0;
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    Trainer trainer(config, launch_on(world, mesh_axes(config.parallel)), start);
    const ExitCode code = trainer.run();
    if (code != ExitCode::ok) throw InternalError("the trainer stopped early.");
    if (world->rank() == 0) bytes_sent = world->recorder().total().bytes_sent;
  });
  return bytes_sent;
}

Outcome outcome_of(const RunConfig& config) {
  Outcome outcome;
  outcome.steps = read_metrics(std::filesystem::path(config.run.output) / "metrics.jsonl");
  const std::vector<checkpoint::Found> found = checkpoint::list(config.checkpoint_folder());
  REQUIRE_FALSE(found.empty());
  const checkpoint::Checkpoint newest(found.back().folder);
  for (const checkpoint::TensorEntry& entry : newest.manifest().tensors) {
    const auto layout = tensor::Layout::replicated(entry.shape, comm::MeshShape({{"data", 1}}));
    outcome.tensors[entry.name] = newest.read(entry.name, layout, 0).view(entry.shape);
  }
  outcome.engine = newest.manifest().state.at("engine");
  outcome.loader = newest.manifest().state.at("loader");
  return outcome;
}

Outcome trained(const std::filesystem::path& folder, int ranks, const std::vector<std::string>& changes) {
  const RunConfig config = small_run(folder, ranks, changes);
  run_trainer(config, Start::anew);
  return outcome_of(config);
}

void remove_checkpoint(const RunConfig& config, int64_t step) {
  REQUIRE(std::filesystem::remove_all(config.checkpoint_folder() / checkpoint::folder_name(step)) > 0);
}

void check_equal_bits(const Outcome& a, const Outcome& b) {
  REQUIRE(a.steps.size() == b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    CAPTURE(i);
    CHECK(a.steps[i].step == b.steps[i].step);
    CHECK(a.steps[i].learning_rate == b.steps[i].learning_rate);
    CHECK(a.steps[i].loss_scale == b.steps[i].loss_scale);
    CHECK(a.steps[i].applied == b.steps[i].applied);
    CHECK(std::bit_cast<uint64_t>(a.steps[i].loss) == std::bit_cast<uint64_t>(b.steps[i].loss));
    CHECK(std::bit_cast<uint64_t>(a.steps[i].grad_norm) == std::bit_cast<uint64_t>(b.steps[i].grad_norm));
  }
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    CAPTURE(name);
    REQUIRE(b.tensors.contains(name));
    CHECK(at::equal(tensor, b.tensors.at(name)));
  }
  CHECK(a.engine == b.engine);
  CHECK(a.loader == b.loader);
}

void check_close(const Outcome& a, const Outcome& b, double tolerance) {
  REQUIRE(a.steps.size() == b.steps.size());
  for (size_t i = 0; i < a.steps.size(); ++i) {
    CAPTURE(i);
    CHECK(a.steps[i].step == b.steps[i].step);
    CHECK(a.steps[i].learning_rate == b.steps[i].learning_rate);
    CHECK(std::abs(a.steps[i].loss - b.steps[i].loss) <= tolerance);
    REQUIRE(a.steps[i].validation_loss.has_value() == b.steps[i].validation_loss.has_value());
    CHECK(std::abs(a.steps[i].validation_loss.value_or(0) - b.steps[i].validation_loss.value_or(0)) <=
          tolerance);
    CHECK(a.steps[i].validation_accuracy == b.steps[i].validation_accuracy);
    CHECK(a.steps[i].parts.size() == b.steps[i].parts.size());
    for (const auto& [name, part] : a.steps[i].parts) {
      CAPTURE(name);
      const PartMetrics& other = b.steps[i].parts.at(name);
      CHECK(std::abs(part.loss - other.loss) <= tolerance);
      REQUIRE(part.validation_loss.has_value() == other.validation_loss.has_value());
      CHECK(std::abs(part.validation_loss.value_or(0) - other.validation_loss.value_or(0)) <= tolerance);
      CHECK(part.validation_accuracy == other.validation_accuracy);
    }
    CHECK(std::abs(a.steps[i].grad_norm - b.steps[i].grad_norm) <= tolerance);
  }
  REQUIRE(a.tensors.size() == b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    CAPTURE(name);
    REQUIRE(b.tensors.contains(name));
    // Squares of gradients are about as small as the tolerance itself.
    const double unit = name.starts_with("optimizer.") ? tensor.abs().max().item<double>() : 1.0;
    CHECK((tensor - b.tensors.at(name)).abs().max().item<double>() <= tolerance * unit);
  }
}

}  // namespace colossal::testing
