// SPDX-License-Identifier: Apache-2.0
// Communication beside computation, as the profile of a run shows it: a collective is in flight from its issue until the rank has collected
// its result, and the product that it is to hide behind begins and ends in between.
#include <fmt/format.h>

#include "tests/support/scratch.h"
#include "tests/train/small_run.h"
#include "tests/train/trace.h"

using namespace colossal;
using namespace colossal::testing;

namespace {

constexpr int kLayers = 2, kMicrobatches = 2, kSteps = 2;

// The traces of all ranks of a small run, by rank. Mode "": data parallel.
std::vector<std::vector<Span>> traces(const std::filesystem::path& folder, const std::string& mode, int size,
                                      const std::string& family) {
  std::vector<std::string> changes = {"model.family=" + family,
                                      "model.num_heads=4",
                                      "train.microbatch_size=4",
                                      "train.steps=3",
                                      "train.profile=true",
                                      "train.profile_start=2",
                                      fmt::format("train.profile_steps={}", kSteps)};
  if (mode.empty()) {
    changes.emplace_back(fmt::format("train.global_batch_size={}", 4 * kMicrobatches * size));
  } else {
    changes.emplace_back("parallel.tensor.mode=" + mode);
    changes.emplace_back(fmt::format("parallel.tensor.size={}", size));
  }
  if (family == "llama") changes.emplace_back("model.num_kv_heads=2");
  const train::RunConfig config = small_run(folder, size, changes);
  run_trainer(config, train::Start::anew);
  std::vector<std::vector<Span>> all;
  for (int rank = 0; rank < size; ++rank)
    all.push_back(
        spans(std::filesystem::path(config.run.output) / fmt::format("profile/rank-{:05}.json", rank), rank));
  return all;
}

std::vector<Span> within_phase(const std::vector<Span>& all, const std::string& phase, const auto& keep) {
  std::vector<Span> found;
  for (const Span& span : all) {
    const bool inside = std::any_of(all.begin(), all.end(), [&](const Span& p) {
      return p.category == "phase" && p.name == phase && span.within(p);
    });
    if (inside && keep(span)) found.push_back(span);
  }
  return found;
}

struct Overlap {
  size_t collectives = 0;
  size_t beside = 0;  // of them, those with a whole product in the time of their flight
};

Overlap overlap(const std::vector<Span>& all, const std::string& phase, const std::string& op,
                const std::string& axes, const std::string& product) {
  const auto products = within_phase(all, phase, [&](const Span& s) { return s.name == product; });
  Overlap result;
  for (const Span& flight : within_phase(all, phase, [&](const Span& s) {
         return s.category == "collective" && s.name == op && s.args.at("axes") == axes;
       })) {
    ++result.collectives;
    result.beside +=
        std::any_of(products.begin(), products.end(), [&](const Span& p) { return p.within(flight); });
  }
  return result;
}

constexpr size_t kPasses = kMicrobatches * kSteps;

}  // namespace

TEST_CASE("data parallel: buckets are summed while the backward pass goes on, once per step") {
  const ScratchFolder scratch;
  for (const auto& trace : traces(scratch.path(), "", 2, "gpt2")) {
    size_t steps = 0;
    for (const Span& step : trace) {
      if (step.category != "step") continue;
      ++steps;
      std::vector<double> sums;  // when they leave
      double last_product = 0, end = 0;
      for (const Span& span : trace) {
        if (!span.within(step)) continue;
        if (span.name == "colossal::matmul_weight_grad") last_product = std::max(last_product, span.start);
        if (span.category == "backward") end = std::max(end, span.end);
        if (span.category == "collective" && span.name == "all_reduce" && span.args.at("axes") == "data")
          sums.push_back(span.start);
      }
      const auto before = [&](double moment) {
        return static_cast<size_t>(std::ranges::count_if(sums, [=](double start) { return start < moment; }));
      };
      CHECK(sums.size() > kLayers);
      CHECK(before(end) == sums.size());
      CHECK(2 * before(last_product) > sums.size());
    }
    CHECK(steps == kSteps);
  }
}

TEST_CASE("1D: the input's gradient is summed while the weight's gradient is computed") {
  for (const std::string family : {"gpt2", "llama"}) {
    CAPTURE(family);
    const ScratchFolder scratch;
    for (const auto& trace : traces(scratch.path(), "1d", 2, family)) {
      // Two linears of a layer expand: the projections to queries, keys and values together, and the MLP's first.
      const Overlap found =
          overlap(trace, "backward", "all_reduce", "tensor", "colossal::matmul_weight_grad");
      CHECK(found.collectives == kPasses * kLayers * 2);
      CHECK(found.beside == found.collectives);
    }
  }
}

TEST_CASE("1D with sequence: the same of the sums that are cut; operands are gathered again beside them") {
  const ScratchFolder scratch;
  for (const auto& trace : traces(scratch.path(), "1d-sequence", 2, "llama")) {
    const Overlap found =
        overlap(trace, "backward", "reduce_scatter", "tensor", "colossal::matmul_weight_grad");
    CHECK(found.collectives == kPasses * kLayers * 2);
    CHECK(found.beside == found.collectives);
    const Overlap again = overlap(trace, "backward", "all_gather", "tensor", "colossal::matmul_input_grad");
    CHECK(again.beside == kPasses * kLayers * 2);
  }
}

TEST_CASE("2D: the next panels travel while these are multiplied, sums while the next is formed") {
  const ScratchFolder scratch;
  for (const auto& trace : traces(scratch.path(), "2d", 4, "gpt2")) {
    const size_t linears = kPasses * kLayers * 4;
    for (const std::string axes : {"row", "column"}) {
      CAPTURE(axes);
      // Two panels of each operand: nothing can hide the first.
      const Overlap forward = overlap(trace, "forward", "broadcast", axes, "colossal::matmul_forward_wide");
      CHECK(forward.collectives == 2 * linears);
      CHECK(forward.beside == linears);
    }
    // Weights go down the columns for the gradient of the input, inputs along the rows for that of the weight.
    const Overlap weights = overlap(trace, "backward", "broadcast", "row", "colossal::matmul_input_grad");
    CHECK(weights.collectives == 2 * linears);
    CHECK(weights.beside == linears);
    const Overlap inputs = overlap(trace, "backward", "broadcast", "column", "colossal::matmul_weight_grad");
    CHECK(inputs.collectives == 2 * linears);
    CHECK(inputs.beside == linears);
    const Overlap dx = overlap(trace, "backward", "reduce", "column", "colossal::matmul_input_grad");
    CHECK(dx.collectives == 2 * linears);
    CHECK(dx.beside == linears);
    const Overlap dw = overlap(trace, "backward", "reduce", "row", "colossal::matmul_weight_grad");
    CHECK(dw.collectives == 2 * linears);
    CHECK(dw.beside == linears);
  }
}

TEST_CASE("3D: the weight's gradient is summed and cut while the input's gradient is computed") {
  const ScratchFolder scratch;
  for (const auto& trace : traces(scratch.path(), "3d", 8, "gpt2")) {
    const Overlap found =
        overlap(trace, "backward", "reduce_scatter", "cube_i", "colossal::matmul_input_grad");
    CHECK(found.collectives == kPasses * kLayers * 4);
    CHECK(found.beside == found.collectives);
  }
}
