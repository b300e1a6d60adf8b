// SPDX-License-Identifier: Apache-2.0
// Whole runs in every tensor mode against the dense one on one rank: dropout, attention dropout, clipping, accumulation, shuffling.
#include <doctest/doctest.h>
#include <fmt/format.h>

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

constexpr Layout kLayouts[] = {{"1d", 2}, {"1d", 4},      {"1d-sequence", 2}, {"1d-sequence", 4},
                               {"2d", 4}, {"2.5d", 8, 2}, {"3d", 8}};

// Sizes that every mode can cut; 13 tokens and a vocabulary of 257 divide by none.
std::vector<std::string> with(const Layout& layout, const std::string& family) {
  std::vector<std::string> changes = {"model.family=" + family,
                                      "model.num_heads=4",
                                      "data.sequence_length=13",
                                      "train.microbatch_size=4",
                                      "data.validation_fraction=0.2",
                                      "train.evaluate_every=5",
                                      fmt::format("parallel.tensor.mode={}", layout.mode),
                                      fmt::format("parallel.tensor.size={}", layout.size),
                                      fmt::format("parallel.tensor.depth={}", layout.depth)};
  if (family != "gpt2") changes.emplace_back("model.num_kv_heads=2");
  return changes;
}

}  // namespace

TEST_CASE("every tensor mode trains the model that one rank trains") {
  for (const std::string family : {"gpt2", "llama"}) {
    const ScratchFolder scratch;
    const Outcome one = trained(scratch / "one", 1, with({"none", 1}, family));
    REQUIRE(one.steps.size() == 10);
    CHECK(one.steps.back().loss < one.steps.front().loss - 0.1);
    CHECK(one.steps[3].grad_norm > 0.5);  // clipping acts
    for (const Layout& layout : kLayouts) {
      CAPTURE(family);
      CAPTURE(layout.mode);
      CAPTURE(layout.size);
      const auto folder = fmt::format("{}-{}", layout.mode, layout.size);
      check_close(one, trained(scratch / folder, layout.size, with(layout, family)), 1e-10);
    }
  }
}

TEST_CASE("a tensor mode times two data-parallel replicas") {
  const ScratchFolder scratch;
  const Outcome one = trained(scratch / "one", 1, with({"none", 1}, "llama"));
  for (const Layout& layout : {Layout{"1d", 2}, Layout{"1d-sequence", 2}, Layout{"2d", 4}}) {
    CAPTURE(layout.mode);
    check_close(one, trained(scratch / layout.mode, 2 * layout.size, with(layout, "llama")), 1e-10);
  }
}
