// SPDX-License-Identifier: Apache-2.0
#include <ATen/record_function.h>
#include <doctest/doctest.h>

#include <tuple>

#include "colossal/train/monitor/profile_record.h"
#include "colossal/train/monitor/profiler.h"
#include "tests/support/scratch.h"
#include "tests/train/small_run.h"
#include "tests/train/trace.h"

using namespace colossal;
using namespace colossal::train;
using colossal::testing::ScratchFolder;
using colossal::testing::Span;
using colossal::testing::spans;

namespace {

// What a viewer needs: two events of one row lie apart or one within the other.
void check_nesting(std::vector<Span> all) {
  std::stable_sort(all.begin(), all.end(), [](const Span& a, const Span& b) {
    return std::tuple(a.row, a.start, -a.end) < std::tuple(b.row, b.start, -b.end);
  });
  std::vector<Span> open;
  for (const Span& span : all) {
    while (!open.empty() && (open.back().row != span.row || open.back().end <= span.start + 1e-3))
      open.pop_back();
    CAPTURE(span.name);
    CHECK((open.empty() || span.within(open.back())));
    open.push_back(span);
  }
}

ProfileRecord::Time at_ms(int64_t ms) { return ProfileRecord::Time(std::chrono::milliseconds(ms)); }

}  // namespace

TEST_CASE("a run of two ranks leaves a trace of the chosen steps per rank") {
  const ScratchFolder scratch;
  const RunConfig config = testing::small_run(
      scratch.path(), 2,
      {"train.steps=5", "train.profile=true", "train.profile_start=2", "train.profile_steps=2"});
  testing::run_trainer(config, Start::anew);
  const std::filesystem::path folder = std::filesystem::path(config.run.output) / "profile";
  for (const int rank : {0, 1}) {
    CAPTURE(rank);
    const std::vector<Span> all = spans(folder / fmt::format("rank-{:05}.json", rank), rank);
    std::vector<Span> steps, forward, backward;
    for (const Span& span : all) {
      if (span.category == "step") steps.push_back(span);
      if (span.name == "forward") forward.push_back(span);
      if (span.name == "backward" && span.category == "phase") backward.push_back(span);
    }
    REQUIRE(steps.size() == 2);
    CHECK(steps[0].name == "step 2");
    CHECK(steps[1].name == "step 3");
    CHECK(forward.size() == 4);  // two micro-batches per rank and step
    CHECK(backward.size() == 4);
    check_nesting(all);
    int linear_forward = 0, linear_backward = 0, all_reduces = 0, losses = 0, updates = 0;
    for (const Span& span : all) {
      CAPTURE(span.name);
      const auto inside = [&](const std::vector<Span>& outer) {
        return std::any_of(outer.begin(), outer.end(), [&](const Span& o) { return span.within(o); });
      };
      CHECK(inside(steps));
      if (span.name == "colossal::linear") linear_forward += inside(forward);
      if (span.category == "backward" && span.name.find("Linear>") != span.name.npos)
        linear_backward += inside(backward);
      if (span.name == "colossal::cross_entropy") losses += inside(forward);
      updates += span.name == "colossal::optimizer";
      if (span.category != "collective") continue;
      CHECK((span.args.at("axes") == "data" || span.args.at("axes") == "world"));
      // all_reduce of n elements over two ranks: each sends as many bytes as it has.
      if (span.name == "all_reduce" && span.args.at("shape") == Json::array() &&
          span.args.at("dtype") == "float64")
        CHECK(span.args.at("bytes_sent") == 8);
      all_reduces += span.name == "all_reduce";
    }
    CHECK(losses == 4);
    CHECK(updates == 2);
    CHECK(linear_forward == 4 * 2 * 4);  // passes x layers x (qkv, output, up, down)
    CHECK(linear_backward == 4 * 2 * 4);
    CHECK(all_reduces >= 2 * 4);
  }
  CHECK(read_file(folder / "summary.txt").starts_with("rank 0, steps 2 to 3: "));
  CHECK_FALSE(at::hasCallbacks());
}

TEST_CASE("a resumed run counts the steps of its profile from where it goes on") {
  const ScratchFolder scratch;
  const RunConfig first = testing::small_run(scratch.path(), 1, {"train.steps=5"});
  testing::run_trainer(first, Start::anew);
  const RunConfig more = testing::small_run(
      scratch.path(), 1,
      {"train.steps=9", "train.profile=true", "train.profile_start=2", "train.profile_steps=1"});
  testing::run_trainer(more, Start::resume);
  const std::filesystem::path folder = std::filesystem::path(more.run.output) / "profile";
  CHECK(read_file(folder / "summary.txt").starts_with("rank 0, steps 7 to 7: "));
}

TEST_CASE("a run without --profile installs and writes nothing") {
  const ScratchFolder scratch;
  const RunConfig config = testing::small_run(scratch.path(), 1, {"train.steps=1"});
  testing::run_trainer(config, Start::anew);
  CHECK_FALSE(std::filesystem::exists(std::filesystem::path(config.run.output) / "profile"));

  StepProfiler profiler(launch_on(comm::World::fake(0, 1)), {.folder = scratch / "none"});
  profiler.begin_step(3);
  CHECK_FALSE(at::hasCallbacks());
  profiler.end_step();
  profiler.finish();
  CHECK_FALSE(profiler.finished());
  CHECK_FALSE(std::filesystem::exists(scratch / "none"));
}

TEST_CASE("operators are recorded between begin_step and end_step of the chosen steps, up to the limit") {
  const ScratchFolder scratch;
  StepProfiler profiler(launch_on(comm::World::fake(0, 1)),
                        {.folder = scratch.path(), .first_step = 7, .num_steps = 1, .max_events = 3});
  for (int64_t step = 6; step <= 8; ++step) {
    profiler.begin_step(step);
    CHECK(at::hasCallbacks() == (step == 7));
    profiler.phase("forward");
    for (int i = 0; i < 5; ++i) {
      RECORD_FUNCTION("mine", {});
    }
    profiler.end_step();
    CHECK_FALSE(at::hasCallbacks());
    CHECK(profiler.finished() == (step >= 7));
  }
  const Json trace = Json::parse(read_file(profiler.path()));
  CHECK(trace.at("otherData").at("dropped_operators") == 2);
  int recorded = 0;
  for (const Span& span : spans(profiler.path(), 0)) recorded += span.name == "mine";
  CHECK(recorded == 3);
}

TEST_CASE("the summary counts nested operators once and splits communication") {
  ProfileRecord record;
  record.steps = {{.step = 4, .start = at_ms(0), .end = at_ms(100)}};
  record.phases = {{"data", at_ms(0), at_ms(10)},
                   {"forward", at_ms(10), at_ms(40)},
                   {"backward", at_ms(40), at_ms(80)},
                   {"optimizer", at_ms(80), at_ms(100)}};
  record.operators = {{.name = "aten::mm", .thread = 1, .start = at_ms(12), .end = at_ms(18)},
                      {.name = "colossal::cross_entropy", .thread = 1, .start = at_ms(11), .end = at_ms(21)},
                      {.name = "aten::add", .thread = 1, .start = at_ms(22), .end = at_ms(24)},
                      {.name = "CppNode<Linear>::Linear",
                       .thread = 1,
                       .backward = true,
                       .start = at_ms(50),
                       .end = at_ms(70)}};
  record.collectives.resize(2);
  record.collectives[0].op = "reduce_scatter";
  record.collectives[0].group = "data";
  record.collectives[0].bytes_sent = 3'000'000;
  record.collectives[1].op = "all_reduce";
  record.collectives[1].group = "row+data";
  record.collectives[1].bytes_sent = 500'000;
  record.collectives[0].started = at_ms(60);
  record.collectives[0].seconds = 0.025;
  record.collectives[0].waited_seconds = 0.005;
  record.collectives[1].started = at_ms(70);
  record.collectives[1].seconds = 0.02;
  record.collectives[1].waited_seconds = 0.001;
  CHECK(profile_summary(record) ==
        "rank 0, steps 4 to 4: 100.0 ms per step\n"
        "\n"
        "ms per step                      forward    backward        both    share\n"
        "matmul                              0.00       20.00       20.00    20.0%\n"
        "loss                               10.00        0.00       10.00    10.0%\n"
        "other                              20.00       20.00       40.00    40.0%\n"
        "optimizer, gradient norm                                   14.00    14.0%\n"
        "data                                                       10.00    10.0%\n"
        "report                                                      0.00     0.0%\n"
        "communication, exposed                                      6.00     6.0%\n"
        "communication, overlapped                                  24.00  (not in the sum)\n"
        "\n"
        "collectives per step                   calls     MB sent   ms in flight     ms exposed   hidden\n"
        "reduce_scatter over data                 1.0        3.00          25.00           5.00    80.0%\n"
        "all_reduce over row+data                 1.0        0.50          20.00           1.00    95.0%\n");
}
