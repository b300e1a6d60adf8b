// SPDX-License-Identifier: Apache-2.0
// Whole runs in every tensor mode against the dense one on one rank: dropout, attention dropout, clipping, accumulation, shuffling.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/store.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/models/family.h"
#include "colossal/nn/parameter.h"
#include "colossal/tensor/redistribute.h"
#include "colossal/train/build.h"
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
};

constexpr Layout kDense = {"none", 1};
constexpr Layout kLayouts[] = {{"1d", 2}, {"1d", 4},      {"1d-sequence", 2}, {"1d-sequence", 4},
                               {"2d", 4}, {"2.5d", 8, 2}, {"3d", 8}};

std::string name_of(const Layout& layout) { return fmt::format("{}-{}", layout.mode, layout.size); }

// Sizes that every mode can cut; 13 tokens, the 10 of an image and a vocabulary of 257 or 260 divide by none or few.
std::vector<std::string> with(const Layout& layout, const std::string& family) {
  std::vector<std::string> changes = {"model.family=" + family,
                                      "model.num_heads=4",
                                      "train.microbatch_size=4",
                                      "data.validation_fraction=0.2",
                                      "train.evaluate_every=5",
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
  if (family == "bert") return changes;
  add({"train.sample_every=5", "train.sample_tokens=3"});
  if (family == "palm") add({"model.num_kv_heads=2", "train.clip_norm=0.2"});
  if (family == "llama") add({"model.num_kv_heads=2"});
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

TEST_CASE("every tensor mode trains the model that one rank trains") {
  for (const std::string family : {"gpt2", "llama", "palm", "bert", "vit"}) {
    const ScratchFolder scratch;
    const Outcome one = trained(scratch / "one", 1, with(kDense, family));
    REQUIRE(one.steps.size() == 10);
    CHECK(one.steps.back().loss < one.steps.front().loss - (family == "palm" ? 0.02 : 0.1));
    CHECK(one.steps[3].grad_norm > (family == "palm" ? 0.2 : family == "vit" ? 0.3 : 0.5));  // clipping acts
    CHECK(one.steps[9].validation_accuracy.has_value() == (family == "bert" || family == "vit"));
    for (const StepMetrics& step : one.steps) check_parts(step, family);
    for (const Layout& layout : kLayouts) {
      CAPTURE(family);
      CAPTURE(layout.mode);
      CAPTURE(layout.size);
      check_close(one, trained(scratch / name_of(layout), layout.size, with(layout, family)), 1e-10);
    }
  }
}

TEST_CASE("a tensor mode times two data-parallel replicas") {
  for (const std::string family : {"llama", "bert", "vit"}) {
    const ScratchFolder scratch;
    const Outcome one = trained(scratch / "one", 1, with(kDense, family));
    for (const Layout& layout : {Layout{"1d", 2}, Layout{"1d-sequence", 2}, Layout{"2d", 4}}) {
      CAPTURE(family);
      CAPTURE(layout.mode);
      check_close(one, trained(scratch / layout.mode, 2 * layout.size, with(layout, family)), 1e-10);
    }
  }
}

TEST_CASE("2.5D and 3D times two data-parallel replicas: 16 ranks") {
  const ScratchFolder scratch;
  const auto changes = [](const Layout& layout) {
    std::vector<std::string> all = with(layout, "llama");
    for (const char* change : {"train.steps=4", "train.global_batch_size=16", "train.evaluate_every=0",
                               "train.sample_every=0", "checkpoint.every=4"})
      all.emplace_back(change);
    return all;
  };
  const Outcome one = trained(scratch / "one", 1, changes(kDense));
  CHECK(one.steps.size() == 4);
  for (const Layout& layout : {Layout{"2.5d", 8, 2}, Layout{"3d", 8}}) {
    CAPTURE(layout.mode);
    check_close(one, trained(scratch / layout.mode, 2 * layout.size, changes(layout)), 1e-10);
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
      all.emplace_back("checkpoint.every=0");
      return all;
    };
    const Outcome one = trained(scratch / "one", 1, changes(kDense));
    for (const Layout& layout : {Layout{"1d-sequence", 2}, Layout{"2.5d", 8, 2}, Layout{"3d", 8}}) {
      CAPTURE(layout.mode);
      check_close(one, trained(scratch / layout.mode, layout.size, changes(layout)), 1e-10);
    }
  }
}

namespace {

// The weights of a checkpoint, loaded under `layout` and gathered again, bit for bit.
void check_loads(const std::filesystem::path& checkpoint, const RunConfig& config) {
  const checkpoint::Checkpoint saved(checkpoint);
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
      const auto whole = tensor::Layout::replicated(p.layout().shape(), comm::MeshShape());
      CAPTURE(p.name);
      CHECK(at::equal(full, saved.read("model." + p.name, whole, 0)));
    }
  });
}

}  // namespace

TEST_CASE(
    "a checkpoint of any mode loads bit for bit in any other, and training goes on as if nothing had "
    "changed") {
  const ScratchFolder scratch;
  std::vector<Layout> all(std::begin(kLayouts), std::end(kLayouts));
  all.push_back(kDense);
  const Outcome one = trained(scratch / "whole", 1, with(kDense, "llama"));
  for (const Layout& from : all) {
    const auto changes = with(from, "llama");
    const RunConfig first = small_run(scratch / name_of(from), from.size, changes);
    run_trainer(first, Resume::no);
    remove_checkpoint(first, 10);
    for (const Layout& to : all) {
      CAPTURE(name_of(from));
      CAPTURE(name_of(to));
      const auto folder = scratch / (name_of(from) + "-to-" + name_of(to));
      std::filesystem::copy(scratch / name_of(from), folder, std::filesystem::copy_options::recursive);
      const RunConfig second = small_run(folder, to.size, with(to, "llama"));
      check_loads(second.checkpoint_folder() / checkpoint::folder_name(5), second);
      run_trainer(second, Resume::newest);
      const Outcome resumed = outcome_of(second);
      REQUIRE(resumed.steps.size() == 10);
      check_close(one, resumed, 1e-10);
    }
  }
}
