// SPDX-License-Identifier: Apache-2.0
// Every tensor mode against transformers: logits, loss, every gradient and ten AdamW steps.
#include <doctest/doctest.h>

#include "colossal/comm/run_ranks.h"
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

}  // namespace

TEST_CASE("float64 equals the reference in every tensor mode") {
  for (const char* name : kModelCases) {
    for (const parallel::TensorParallel how : {parallel::TensorParallel{TensorMode::one_d, 2},
                                               {TensorMode::one_d, 4},
                                               {TensorMode::one_d_sequence, 2},
                                               {TensorMode::one_d_sequence, 4},
                                               {TensorMode::two_d, 4},
                                               {TensorMode::two_and_half_d, 8, 2},
                                               {TensorMode::three_d, 8}}) {
      CAPTURE(name);
      CAPTURE(parallel::kTensorModes[static_cast<size_t>(how.mode)]);
      CAPTURE(how.size);
      check(name, how);
    }
  }
}
