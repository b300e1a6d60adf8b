// SPDX-License-Identifier: Apache-2.0
// Every model against transformers (PaLM: against its equations in torch): logits, loss, every gradient and ten AdamW steps, on 1, 2 and 4 data-parallel ranks.
#include <doctest/doctest.h>

#include <mutex>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/train/verify.h"
#include "tests/oracles/models.h"
#include "tests/support/scratch.h"

using namespace colossal;

namespace {

void check(const std::string& name, at::ScalarType dtype, int ranks) {
  std::vector<train::VerifyReport> reports(ranks);
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"data", ranks}}));
    reports[mesh.rank()] = train::verify({.model = kModels / name, .dtype = dtype}, mesh, [&](auto state) {
      return std::make_unique<nn::DenseFactory>(mesh, state, nn::FactoryOptions{.compute = dtype});
    });
  });
  for (const train::VerifyReport& report : reports) {
    CAPTURE(report.text());
    CHECK(report.passed());
    CHECK(report.differences.size() > 20);
  }
}

}  // namespace

TEST_CASE("float64 equals the reference on 1, 2, 3 and 4 ranks") {
  for (const char* name : kModelCases) {
    for (const int ranks : {1, 2, 3, 4}) {
      CAPTURE(name);
      CAPTURE(ranks);
      check(name, at::kDouble, ranks);
    }
  }
}

TEST_CASE("float32 is within the reference's own float32 error on 1, 2 and 4 ranks") {
  for (const char* name : kModelCases) {
    for (const int ranks : {1, 2, 4}) {
      CAPTURE(name);
      CAPTURE(ranks);
      check(name, at::kFloat, ranks);
    }
  }
}

TEST_CASE("a difference is reported and fails") {
  train::VerifyReport report{.title = "m: Double, 1 rank",
                             .differences = {{"logits", 1e-12, 1e-9}, {"grad.w", 2e-3, 1e-9}}};
  CHECK(!report.passed());
  CHECK(report.text() ==
        "m: Double, 1 rank\n"
        "  logits   1.00e-12  (allowed 1.0e-09)\n"
        "  grad.w   2.00e-03  (allowed 1.0e-09)  FAILED\n"
        "NOT verified: 1 of 2 quantities differ\n");
  report.differences[1].worst = std::nan("");
  CHECK(!report.passed());
  report.differences.clear();
  CHECK(!report.passed());
  CHECK_THROWS_WITH_AS(train::verify({.model = kModels / "gpt2", .dtype = at::kHalf}, comm::Mesh(), {}),
                       "verify: dtype Half has no tolerance. Allowed: float64, float32.", ConfigError);
}

TEST_CASE("without a reference every rank compares with the dense model on one rank") {
  const testing::ScratchFolder scratch;
  for (const char* file : {"config.json", "model.safetensors"})
    std::filesystem::copy_file(kModels / "qwen2" / file, scratch / file);
  const auto run = [&](at::ScalarType dtype, at::ScalarType compute) {
    std::vector<train::VerifyReport> reports(3);
    comm::run_ranks(3, [&](std::shared_ptr<comm::World> world) {
      const comm::Mesh mesh(world, comm::MeshShape({{"data", 3}}));
      reports[mesh.rank()] = train::verify({.model = scratch.path(), .dtype = dtype}, mesh, [&](auto state) {
        return std::make_unique<nn::DenseFactory>(mesh, state, nn::FactoryOptions{.compute = compute});
      });
    });
    for (const train::VerifyReport& report : reports) CHECK(report.text() == reports[0].text());
    return reports[0];
  };
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
    const train::VerifyReport report = run(dtype, dtype);
    CAPTURE(report.text());
    CHECK(report.passed());
    CHECK(report.differences.size() == 30);
  }
  CHECK(!run(at::kDouble, at::kFloat).passed());
  CHECK(!run(at::kFloat, at::kBFloat16).passed());
}

TEST_CASE("without a reference: images, and tokens with types and two kinds of labels") {
  for (const char* name : {"vit", "bert"}) {
    CAPTURE(name);
    const testing::ScratchFolder scratch;
    for (const char* file : {"config.json", "model.safetensors"})
      std::filesystem::copy_file(kModels / name / file, scratch / file);
    const auto run = [&](at::ScalarType compute) {
      std::vector<train::VerifyReport> reports(3);
      comm::run_ranks(3, [&](std::shared_ptr<comm::World> world) {
        const comm::Mesh mesh(world, comm::MeshShape({{"data", 3}}));
        reports[mesh.rank()] = train::verify({.model = scratch.path()}, mesh, [&](auto state) {
          return std::make_unique<nn::DenseFactory>(mesh, state, nn::FactoryOptions{.compute = compute});
        });
      });
      return reports[0];
    };
    const train::VerifyReport report = run(at::kDouble);
    CAPTURE(report.text());
    CHECK(report.passed());
    CHECK(report.differences.size() == (std::string(name) == "vit" ? 43 : 50));
    CHECK(!run(at::kFloat).passed());
  }
}

TEST_CASE("float32 arithmetic does not pass for float64") {
  const comm::Mesh mesh;
  const train::VerifyReport report = train::verify({.model = kModels / "gpt2"}, mesh, [&](auto state) {
    return std::make_unique<nn::DenseFactory>(mesh, state, nn::FactoryOptions{.compute = at::kFloat});
  });
  CHECK(!report.passed());
}
