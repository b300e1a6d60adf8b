// SPDX-License-Identifier: Apache-2.0
// Whole runs in every tensor mode against the dense one on one rank: dropout, attention dropout, clipping, accumulation, shuffling.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/nn/parameter.h"
#include "colossal/tensor/redistribute.h"
#include "colossal/train/build.h"
#include "colossal/train/export.h"
#include "colossal/train/initialize.h"
#include "colossal/train/run_state.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"

using namespace colossal;
using namespace colossal::train;
using namespace colossal::testing;

namespace {

struct Layout {
  const char* mode;
  int size;
  int depth = 1;
  int data = 1;
  int ranks() const { return size * data; }
};

constexpr Layout kDense = {"none", 1};
constexpr Layout kLayouts[] = {{"1d", 2}, {"1d", 4},      {"1d-sequence", 2}, {"1d-sequence", 4},
                               {"2d", 4}, {"2.5d", 8, 2}, {"3d", 8}};

std::string name_of(const Layout& l) { return fmt::format("{}-{}-times-{}", l.mode, l.size, l.data); }

// One layer of sizes that every mode can cut; 13 tokens and the 10 of an image divide by none. Two micro-batches per rank and step.
std::vector<std::string> with(const Layout& layout, const std::string& family) {
  std::vector<std::string> changes = {"model.family=" + family,
                                      "model.num_layers=1",
                                      "model.num_heads=4",
                                      "train.global_batch_size=16",
                                      fmt::format("train.microbatch_size={}", 8 / layout.data),
                                      "data.validation_fraction=0.2",
                                      "checkpoint.every=0",
                                      fmt::format("parallel.tensor.mode={}", layout.mode),
                                      fmt::format("parallel.tensor.size={}", layout.size),
                                      fmt::format("parallel.tensor.depth={}", layout.depth)};
  const auto add = [&](std::initializer_list<const char*> more) {
    changes.insert(changes.end(), more.begin(), more.end());
  };
  if (family == "vit") {
    add({"train.clip_norm=0.3"});
    return changes;
  }
  add({"data.sequence_length=13"});
  if (family == "palm") add({"model.num_kv_heads=2", "train.clip_norm=0.2"});
  if (family == "llama") add({"model.num_kv_heads=2"});
  return changes;
}

// 6 heads, 3 of keys and values, over 2 ranks, and a vocabulary of 127, which only random tokens have.
std::vector<std::string> awkward(const Layout& layout) {
  std::vector<std::string> changes = with(layout, "llama");
  for (const char* change : {"model.num_heads=6", "model.num_kv_heads=3", "model.hidden_size=48",
                             "model.vocab_size=127", "data.train=synthetic", "data.validation_fraction=0"})
    changes.emplace_back(change);
  return changes;
}

// The losses of BERT are the sums of theirs, those of the others have none.
void check_parts(const StepMetrics& step, const std::string& family) {
  if (family != "bert") {
    CHECK(step.parts.empty());
    return;
  }
  REQUIRE(step.parts.size() == 2);
  const PartMetrics &masked = step.parts.at("masked_lm"), &pairs = step.parts.at("next_sentence");
  CHECK(std::abs(masked.loss + pairs.loss - step.loss) <= 1e-15 * step.loss);
  CHECK(masked.loss > 4);  // at first ln 260, of the pairs ln 2
  CHECK(pairs.loss < 1.5);
  REQUIRE(masked.validation_loss.has_value() == step.validation_loss.has_value());
  if (!step.validation_loss) return;
  CHECK(std::abs(*masked.validation_loss + *pairs.validation_loss - *step.validation_loss) <=
        1e-15 * step.loss);
  CHECK(masked.validation_accuracy == step.validation_accuracy);
  CHECK(pairs.validation_accuracy.has_value());
}

}  // namespace

TEST_CASE(
    "every tensor mode trains the model that one rank trains, alone and times two data-parallel replicas") {
  for (const std::string family : {"gpt2", "llama", "palm", "bert", "vit"}) {
    const ScratchFolder scratch;
    const auto changes = [&](const Layout& layout) {
      std::vector<std::string> all = with(layout, family);
      all.emplace_back("train.evaluate_every=10");
      if (family != "bert" && family != "vit") {
        all.emplace_back("train.sample_every=10");
        all.emplace_back("train.sample_tokens=2");
      }
      return all;
    };
    const Outcome one = trained(scratch / "one", 1, changes(kDense));
    REQUIRE(one.steps.size() == 10);
    CHECK(one.steps.back().loss < one.steps.front().loss - (family == "palm" ? 0.02 : 0.1));
    CHECK(one.steps[3].grad_norm > (family == "palm" ? 0.2 : family == "vit" ? 0.3 : 0.5));  // clipping acts
    CHECK(one.steps[9].validation_loss.has_value());
    CHECK(one.steps[9].validation_accuracy.has_value() == (family == "bert" || family == "vit"));
    for (const StepMetrics& step : one.steps) check_parts(step, family);
    for (Layout layout : kLayouts) {
      const bool twice =
          layout.ranks() != 4 || layout.mode == std::string("2d") || family == "gpt2" || family == "bert";
      for (layout.data = 1; layout.data <= (twice ? 2 : 1); ++layout.data) {
        const std::string name = name_of(layout);
        CAPTURE(family);
        CAPTURE(name);
        check_close(one, trained(scratch / name, layout.ranks(), changes(layout)), 1e-10);
      }
    }
  }
}

TEST_CASE("6 heads over 2 ranks, in pieces where 3 of keys and values do not divide, and 127 words") {
  const ScratchFolder scratch;
  const Outcome one = trained(scratch / "one", 1, awkward(kDense));
  REQUIRE(one.tensors.at("model.embedding.weight").size(0) == 127);
  for (const Layout& layout :
       {Layout{"1d", 2}, Layout{"1d-sequence", 2}, Layout{"2d", 4}, Layout{"2.5d", 8, 2}, Layout{"3d", 8}}) {
    CAPTURE(name_of(layout));
    check_close(one, trained(scratch / layout.mode, layout.ranks(), awkward(layout)), 1e-10);
  }
}

TEST_CASE("fewer tokens than the ranks that share a sequence: some hold nothing but padding") {
  const ScratchFolder scratch;
  for (const std::string family : {"gpt2", "palm", "bert", "vit"}) {
    const auto changes = [&](const Layout& layout) {
      std::vector<std::string> all = with(layout, family);
      all.emplace_back(family == "vit" ? "model.patch_size=6" : "data.sequence_length=5");  // 5 tokens, too
      return all;
    };
    const Outcome one = trained(scratch / (family + "-one"), 1, changes(kDense));
    for (const Layout& layout : {Layout{"1d-sequence", 4}, Layout{"3d", 8}}) {
      CAPTURE(family);
      CAPTURE(name_of(layout));
      check_close(one, trained(scratch / (family + name_of(layout)), layout.ranks(), changes(layout)), 1e-10);
    }
  }
}

TEST_CASE("fp16, for which nothing has kernels of ours: every family in every mode") {
  const ScratchFolder scratch;
  for (const std::string family : {"gpt2", "llama", "palm", "bert", "vit"}) {
    const auto changes = [&](const Layout& layout) {
      std::vector<std::string> all = with(layout, family);
      for (const char* change : {"train.precision=fp16", "train.steps=2", "train.loss_scale=256"})
        all.emplace_back(change);
      return all;
    };
    const Outcome one = trained(scratch / (family + "-one"), 1, changes(kDense));
    for (const Layout& layout :
         {Layout{"1d", 2}, Layout{"1d-sequence", 2}, Layout{"2d", 4}, Layout{"3d", 8}}) {
      CAPTURE(family);
      CAPTURE(name_of(layout));
      const Outcome ranks = trained(scratch / (family + name_of(layout)), layout.ranks(), changes(layout));
      REQUIRE(ranks.steps.size() == 2);
      for (int step = 0; step < 2; ++step) {
        CHECK(std::abs(ranks.steps[step].loss - one.steps[step].loss) < 2e-3 * one.steps[step].loss);
        CHECK(std::abs(ranks.steps[step].grad_norm - one.steps[step].grad_norm) <
              2e-2 * one.steps[step].grad_norm);
      }
    }
  }
}

TEST_CASE("parallel.tensor.keep_gathered: the same numbers, and backward gathers nothing again") {
  constexpr int64_t kSteps = 3, kMicrobatches = 2, kTokens = 8 * 13;
  const int64_t h = 16, f = 24;
  for (const Layout& layout : {Layout{"1d-sequence", 2}, Layout{"3d", 8}}) {
    CAPTURE(name_of(layout));
    const ScratchFolder scratch;
    std::vector<std::string> changes = with(layout, "gpt2");
    changes.push_back(fmt::format("train.steps={}", kSteps));
    const RunConfig shards = small_run(scratch / "shards", layout.ranks(), changes);
    changes.emplace_back("parallel.tensor.keep_gathered=true");
    const RunConfig gathered = small_run(scratch / "gathered", layout.ranks(), changes);
    const int64_t saved = run_trainer(shards, Start::anew) - run_trainer(gathered, Start::anew);
    check_close(outcome_of(shards), outcome_of(gathered), 1e-12);
    // Per micro-batch: of two linears the tokens, padded to 14 each; of all but the last, whose input is formed again, input and weight.
    const int64_t elements =
        layout.size == 2 ? 2 * (kTokens / 13 * 14 * h) / 2 : (kTokens * 3 * h + 4 * h * h + h * f) / 8;
    CHECK(saved == kSteps * kMicrobatches * elements * 8);
  }
}

TEST_CASE("every optimizer steps alike in blocks") {
  for (const std::string name : {"adam", "sgd", "adafactor", "lamb", "lars"}) {
    CAPTURE(name);
    const ScratchFolder scratch;
    const auto changes = [&](const Layout& layout) {
      std::vector<std::string> all = with(layout, "llama");
      all.push_back("optimizer.name=" + name);
      all.emplace_back("train.steps=4");
      return all;
    };
    const Outcome one = trained(scratch / "one", 1, changes(kDense));
    for (const Layout& layout : {Layout{"1d-sequence", 2}, Layout{"2.5d", 8, 2}, Layout{"3d", 8}}) {
      CAPTURE(name_of(layout));
      check_close(one, trained(scratch / layout.mode, layout.size, changes(layout)), 1e-10);
    }
  }
}

namespace {

at::Tensor dense_read(const checkpoint::Checkpoint& saved, const nn::Parameter& p) {
  return saved.read("model." + p.name, tensor::Layout::replicated(p.layout().shape(), comm::MeshShape()), 0);
}

// The weights of a checkpoint, loaded in the layout of `config` and gathered again, bit for bit.
void check_loads(const checkpoint::Checkpoint& saved, const RunConfig& config) {
  const comm::MeshShape mesh_shape(mesh_axes(config.parallel));
  comm::run_ranks(mesh_shape.size(), [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, mesh_shape);
    const auto make =
        make_factory(config.parallel, mesh, std::make_shared<nn::StepState>(), {.compute = at::kDouble});
    const auto model = models::build(model_config_from(saved.manifest().state.at("model")), *make);
    const auto parameters = nn::parameters(*model, mesh);
    load_weights(parameters, saved, mesh.rank());
    for (const nn::Parameter& p : parameters) {
      const at::Tensor local = p.tensor.detach().view(p.layout().local_shape());
      const at::Tensor full = tensor::gather_full(local, p.layout(), mesh);
      CAPTURE(p.name);
      CHECK(at::equal(full, dense_read(saved, p)));
    }
  });
}

// What leaves as a Hugging Face folder is what the checkpoint holds, bit for bit.
void check_export(const checkpoint::Checkpoint& saved, const std::filesystem::path& folder) {
  export_huggingface(saved.folder(), folder);
  const checkpoint::HuggingFaceFolder exported(folder);
  const comm::Mesh alone;
  nn::DenseFactory make(alone, std::make_shared<nn::StepState>(), {.compute = at::kDouble});
  const auto model = models::build(exported.config(), make);
  const auto parameters = nn::parameters(*model, alone);
  exported.load(parameters, 0);
  REQUIRE(parameters.size() > 5);
  for (const nn::Parameter& p : parameters) {
    CAPTURE(p.name);
    CHECK(at::equal(p.tensor.detach().view(p.layout().shape()), dense_read(saved, p)));
  }
}

// Saves after step 5 in each of `from`, and goes on from there in each of `to`.
void check_pairs(const std::string& family, const std::vector<Layout>& from, const std::vector<Layout>& to) {
  const ScratchFolder scratch;
  const auto changes = [&](const Layout& layout) {
    std::vector<std::string> all = with(layout, family);
    all.emplace_back("checkpoint.every=5");
    return all;
  };
  const Outcome one = trained(scratch / "whole", 1, changes(kDense));
  for (const Layout& before : from) {
    CAPTURE(name_of(before));
    const RunConfig first = small_run(scratch / name_of(before), before.ranks(), changes(before));
    run_trainer(first, Start::anew);
    remove_checkpoint(first, 10);
    const checkpoint::Checkpoint saved(first.checkpoint_folder() / checkpoint::folder_name(5));
    check_export(saved, scratch / ("export-" + name_of(before)));
    for (const Layout& after : to) {
      CAPTURE(name_of(after));
      const auto folder = scratch / (name_of(before) + "-to-" + name_of(after));
      std::filesystem::copy(scratch / name_of(before), folder, std::filesystem::copy_options::recursive);
      const RunConfig second = small_run(folder, after.ranks(), changes(after));
      check_loads(saved, second);
      run_trainer(second, Start::resume);
      const Outcome resumed = outcome_of(second);
      REQUIRE(resumed.steps.size() == 10);
      check_close(one, resumed, 1e-10);
    }
  }
}

}  // namespace

TEST_CASE(
    "a checkpoint of any mode loads and is exported bit for bit, and training goes on in any other as if "
    "nothing had changed") {
  std::vector<Layout> all(std::begin(kLayouts), std::end(kLayouts));
  all.push_back(kDense);
  check_pairs("llama", all, all);
}

TEST_CASE("checkpoints of a model with biases, a table that two layers share and heads of two kinds") {
  check_pairs("bert", {{"2d", 4}, {"3d", 8}}, {{"1d-sequence", 4}, {"2.5d", 8, 2}});
}

namespace {

// A module as a user writes it, of single layers.
struct OwnModel : torch::nn::Module {
  static constexpr int64_t kWords = 31, kWidth = 16;
  explicit OwnModel(nn::LayerFactory& make) {
    embedding = register_module("embedding",
                                make.embedding({.num_embeddings = kWords, .size = kWidth, .init_std = 1}));
    norm = register_module("norm", make.norm({.size = kWidth}));
    up = register_module("up", make.linear({.in = kWidth, .out = {24}, .init_std = 0.3}));
    down = register_module("down", make.linear({.in = 24,
                                                .out = {kWidth},
                                                .role = nn::Role::contract,
                                                .activation = nn::functional::Activation::silu,
                                                .init_std = 0.3}));
    head = register_module("head", make.head({.hidden = kWidth, .vocab_size = kWords, .init_std = 0.3}));
  }
  at::Tensor forward(const at::Tensor& ids) {
    const at::Tensor x = embedding->forward(ids);
    return x + down->forward(up->forward(norm->forward(x)));
  }
  std::shared_ptr<nn::UnaryLayer> embedding, up, down;
  std::shared_ptr<nn::NormLayer> norm;
  std::shared_ptr<nn::HeadLayer> head;
};

struct Learned {
  std::vector<double> losses;
  std::map<std::string, at::Tensor> weights;
};

Learned learned(const Layout& layout) {
  Learned result;
  const ParallelSection how{
      .data = layout.data,
      .tensor = {.mode = *parallel::tensor_mode(layout.mode), .size = layout.size, .depth = layout.depth}};
  comm::run_ranks(layout.ranks(), [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world), mesh_axes(how));
    const auto state = std::make_shared<nn::StepState>();
    const auto model =
        std::make_shared<OwnModel>(*make_factory(how, context.mesh, state, {.compute = at::kDouble}));
    const auto parameters = nn::parameters(*model, context.mesh);
    nn::initialize(parameters, /*seed=*/2, context.rank());
    const at::Tensor ids = at::arange(24 * 7, at::kLong).view({24, 7}) * 5 % OwnModel::kWords;
    const auto criterion = [&](const at::Tensor& x, const at::Tensor& labels) {
      return model->head->loss(x, labels, static_cast<double>(labels.numel()));
    };
    auto [engine, loader] =
        initialize(context, model, {.name = "adamw"}, criterion,
                   std::make_shared<data::TensorDataset>(ids, (ids + 5) % OwnModel::kWords),
                   {.global_batch_size = 16,
                    .microbatch_size = 8 / layout.data,
                    .precision = at::kDouble,
                    .pass = data::Pass::endless,
                    .clip_norm = 1,
                    .schedule = {.learning_rate = 0.05},
                    .state = state.get()});
    std::vector<double> losses;
    for (const data::Batch& batch : loader) {
      engine.zero_grad();
      engine.backward(engine.criterion(engine(batch.input()), batch.label()));
      if (const StepReport report = engine.step(); report.boundary) losses.push_back(report.loss);
      if (losses.size() == 10) break;
    }
    std::map<std::string, at::Tensor> weights;
    for (const nn::Parameter& p : parameters)
      weights[p.name] = tensor::gather_full(p.tensor.detach(), p.layout(), context.mesh);
    if (context.rank() == 0) result = {losses, weights};
  });
  return result;
}

}  // namespace

TEST_CASE("a user's own module of single layers learns in every mode what it learns on one rank") {
  const Learned one = learned(kDense);
  CHECK(one.losses.back() < one.losses.front() / 2);
  CHECK(one.weights.size() == 8);
  for (Layout layout : kLayouts) {
    for (layout.data = 1; layout.data <= 2; ++layout.data) {
      CAPTURE(name_of(layout));
      const Learned ours = learned(layout);
      REQUIRE(ours.losses.size() == one.losses.size());
      for (size_t i = 0; i < one.losses.size(); ++i) CHECK(std::abs(ours.losses[i] - one.losses[i]) <= 1e-10);
      REQUIRE(ours.weights.size() == one.weights.size());
      for (const auto& [name, weight] : one.weights)
        CHECK((ours.weights.at(name) - weight).abs().max().item<double>() <= 1e-10);
    }
  }
}
