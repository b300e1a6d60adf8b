// SPDX-License-Identifier: Apache-2.0
// Every tensor mode against transformers: logits, loss, every gradient, ten AdamW steps and greedy text.
#include <doctest/doctest.h>

#include "colossal/checkpoint/huggingface.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/models/family.h"
#include "colossal/models/generate.h"
#include "colossal/parallel/tensor/tensor_factory.h"
#include "colossal/train/verify.h"
#include "tests/oracles/models.h"

using namespace colossal;
using parallel::TensorMode;

namespace {

void check(const char* name, const parallel::TensorParallel& how) {
  const auto ranks = static_cast<int>(how.size);
  std::vector<train::VerifyReport> reports(ranks);
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape(parallel::tensor_axes(how)));
    reports[mesh.rank()] = train::verify({.model = kModels / name}, mesh, [&](auto state) {
      return std::make_unique<parallel::TensorFactory>(mesh, state, how.mode,
                                                       nn::FactoryOptions{.compute = at::kDouble});
    });
  });
  for (const train::VerifyReport& report : reports) {
    CAPTURE(report.text());
    CHECK(report.passed());
    CHECK(report.differences.size() > 20);
  }
}

constexpr parallel::TensorParallel kModes[] = {
    {TensorMode::one_d, 2},          {TensorMode::one_d, 4}, {TensorMode::one_d_sequence, 2},
    {TensorMode::one_d_sequence, 4}, {TensorMode::two_d, 4}, {TensorMode::two_and_half_d, 8, 2},
    {TensorMode::three_d, 8}};

// Body once per mode; ranks as threads.
void in_every_mode(const std::function<void(const parallel::TensorParallel&)>& body) {
  for (const parallel::TensorParallel& how : kModes) {
    CAPTURE(parallel::kTensorModes[static_cast<size_t>(how.mode)]);
    CAPTURE(how.size);
    body(how);
  }
}

}  // namespace

TEST_CASE("float64 equals the reference in every tensor mode") {
  for (const char* name : kModelCases) {
    CAPTURE(name);
    in_every_mode([&](const parallel::TensorParallel& how) { check(name, how); });
  }
}

TEST_CASE("greedy generation equals the reference in every tensor mode, whatever the number of rows") {
  for (const char* name : {"gpt2", "llama3"}) {
    CAPTURE(name);
    const checkpoint::SafetensorsReader data(kModels / name / "generate.safetensors");
    const at::Tensor prompt = data.read("prompt"), expected = data.read("generated").narrow(1, 0, 16);
    in_every_mode([&](const parallel::TensorParallel& how) {
      const auto ranks = static_cast<int>(how.size);
      std::vector<at::Tensor> both(ranks), one(ranks);
      comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
        const comm::Mesh mesh(world, comm::MeshShape(parallel::tensor_axes(how)));
        const checkpoint::HuggingFaceFolder folder(kModels / name);
        parallel::TensorFactory make(mesh, std::make_shared<nn::StepState>(), how.mode,
                                     {.compute = at::kDouble});
        const auto model = models::build_language_model(folder.config(), make);
        folder.load(nn::parameters(*model, mesh), mesh.rank());
        both[mesh.rank()] = models::generate(*model, prompt, {.max_new_tokens = 8});
        one[mesh.rank()] = models::generate(*model, prompt.narrow(0, 1, 1), {.max_new_tokens = 8});
      });
      for (int rank = 0; rank < ranks; ++rank) {
        CHECK(at::equal(both[rank], expected));
        CHECK(at::equal(one[rank], expected.narrow(0, 1, 1)));
      }
    });
  }
}
