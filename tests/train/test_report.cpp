// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/train/monitor/metrics.h"
#include "colossal/train/monitor/monitor.h"
#include "colossal/train/monitor/report.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::train;
using colossal::testing::ScratchFolder;

namespace {

// The order of keys does not matter.
nlohmann::json unordered(const Json& json) { return nlohmann::json::parse(json.dump()); }

// A run as a trainer would leave it, `slow` times slower than the first.
void make_run(const std::filesystem::path& folder, int64_t steps, double slow, int64_t seed) {
  RunConfig config =
      parse_run_config("", "run.toml",
                       {"data.train=synthetic", "run.output=" + folder.string(), "run.progress=none",
                        "run.name=" + folder.filename().string(), "train.steps=" + std::to_string(steps),
                        "run.seed=" + std::to_string(seed)},
                       2);
  Monitor monitor(config, {.world_size = 2});
  for (int64_t step = 1; step <= steps; ++step) {
    const double t = static_cast<double>(step),
                 wave = std::sin(t * 12.9898 * static_cast<double>(seed)) * 0.5;
    StepMetrics m{.step = step, .loss = 1.6 + 4.2 * std::exp(-t / 90 / slow) + 0.12 * wave};
    m.grad_norm = 0.4 + 2 * std::exp(-t / 40) + 0.2 * wave * wave;
    m.learning_rate =
        3e-4 * std::min(1.0, t / 30) * 0.5 * (1 + std::cos(3.14159 * t / static_cast<double>(steps)));
    m.step_seconds = (step == 1 ? 1.9 : 0.21 + 0.02 * wave) * slow;
    m.load_per_second = 2048 / m.step_seconds;
    m.peak_memory_bytes = step < 3 ? 700'000'000 : 913'000'000;
    m.data_wait_seconds = 0.0004 + 0.0003 * wave;
    m.communication_seconds = 0.02 * slow + 0.004 * wave;
    if (step == 77) m.loss = NAN;
    monitor.step(m);
    if (step % 50 == 0)
      monitor.validation(step, {.loss = 1.7 + 4.1 * std::exp(-t / 90 / slow), .num_targets = 1000});
    if (step % 100 == 0)
      monitor.sample(step, "In the beginning", " </script><b>\x1b[2J & \"light\" fell on step\nnumber");
  }
  monitor.finish(false);
}

}  // namespace

TEST_CASE("report data comes from what the run wrote") {
  const ScratchFolder folder;
  make_run(folder / "first", 120, 1, 1);
  const Json data = report_data(folder / "first");
  CHECK(data["name"] == "first");
  CHECK(data["load_per_step"] == 8 * 256);
  CHECK(data["total_steps"] == 120);
  CHECK(data["columns"]["step"].size() == 120);
  CHECK(data["columns"]["loss"][76].is_null());
  CHECK(data["validation"].size() == 2);
  CHECK(data["validation"][1][0] == 100);
  CHECK(data["samples"].size() == 1);
  CHECK(data["config"]["optimizer.name"] == "\"adamw\"");
  CHECK(data["environment"]["ranks"] == 2);
}

TEST_CASE("a resumed run goes on in the same files") {
  const ScratchFolder folder;
  make_run(folder / "first", 120, 1, 1);
  const RunConfig config =
      parse_run_config("", "run.toml",
                       {"data.train=synthetic", "run.output=" + (folder / "first").string(),
                        "run.progress=none", "train.steps=120"},
                       2);
  {
    Monitor monitor(config, {.steps_done = 100, .world_size = 2});
    monitor.step({.step = 101, .loss = 0.5});
    monitor.validation(101, {.loss = 0.75, .num_targets = 10});
    monitor.finish(/*stopped=*/true);
  }
  const auto all = read_metrics(folder / "first/metrics.jsonl");
  REQUIRE(all.size() == 101);
  CHECK(all[99].validation_loss.has_value());
  CHECK(all[100].loss == 0.5);
  CHECK(all[100].validation_loss == 0.75);
  CHECK(read_samples(folder / "first/samples.jsonl").size() == 1);
}

TEST_CASE("accuracies and images are shown where a run has them") {
  const ScratchFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"step":1,"loss":2.5,"images_per_second":100.0,"step_seconds":0.5,"time":10.0,"validation_loss":2.0,)"
      << R"("validation_accuracy":0.25})"
      << "\n"
      << R"({"step":2,"loss":2.0,"images_per_second":300.0,"step_seconds":0.5,"time":10.5,"validation_loss":1.5,)"
      << R"("validation_accuracy":0.5})"
      << "\n";
  std::ofstream(folder / "config.toml") << "[train]\nglobal_batch_size = 8\n";
  const Json data = report_data(folder.path());
  CHECK(data["unit"] == "images");
  CHECK(data["load_per_step"] == 8);
  CHECK(data["columns"]["load_per_second"] == Json::parse("[100.0, 300.0]"));
  CHECK(data["validation"] == Json::parse("[[1, 0.5, 2.0, 25.0, {}], [2, 1.0, 1.5, 50.0, {}]]"));
  CHECK(data["parts"] == Json::array());
  CHECK(data["summary"]["accuracy"] == 50.0);
  const StepMetrics last = read_metrics(folder / "metrics.jsonl").back();
  CHECK(last.validation_accuracy == 0.5);
  CHECK((last.kind == Load::Kind::images));
  CHECK(to_json(last).at("images_per_second") == 300.0);
}

TEST_CASE("parts of the loss have columns of their own") {
  const ScratchFolder folder;
  std::ofstream(folder / "metrics.jsonl")
      << R"({"step":1,"loss":6.0})"
      << "\n"
      << R"({"step":2,"loss":5.5,"masked_lm_loss":4.75,"next_sentence_loss":null,"validation_loss":5.25,)"
      << R"("validation_accuracy":0.125,"validation_masked_lm_loss":4.5,"validation_masked_lm_accuracy":0.125,)"
      << R"("validation_next_sentence_loss":0.75,"validation_next_sentence_accuracy":0.5})"
      << "\n";
  const Json data = report_data(folder.path());
  CHECK(data["parts"] == Json::parse(R"(["masked_lm", "next_sentence"])"));
  CHECK(data["columns"]["masked_lm_loss"] == Json::parse("[null, 4.75]"));
  CHECK(data["columns"]["next_sentence_loss"] == Json::parse("[null, null]"));
  CHECK(data["validation"][0][4] ==
        Json::parse(R"({"masked_lm": [4.5, 12.5], "next_sentence": [0.75, 50.0]})"));
}

TEST_CASE("the page stands alone and its data cannot break out of it") {
  const ScratchFolder folder;
  make_run(folder / "first", 110, 1, 1);
  make_run(folder / "second", 110, 2, 2);
  const auto path = write_report({folder / "first", folder / "second"});
  CHECK(path == folder / "first/comparison.html");
  CHECK(write_report({folder / "first"}) == folder / "first/report.html");
  const std::string page = read_file(path);
  for (const char* banned : {"src=", "href=", "@import", "fetch(", "XMLHttpRequest", "https://", "import("}) {
    CAPTURE(banned);
    CHECK(page.find(banned) == std::string::npos);
  }
  // The only address is the name of the SVG namespace.
  CHECK(page.find("http://") == page.rfind("http://"));
  CHECK(page.find("http://www.w3.org/2000/svg") != std::string::npos);
  // Two scripts, closed twice, though a sample says </script>.
  const auto count = [&](std::string_view what) {
    size_t n = 0;
    for (size_t at = page.find(what); at != page.npos; at = page.find(what, at + 1)) ++n;
    return n;
  };
  CHECK(count("</script>") == 2);
  CHECK(count("<script") == 2);
  const size_t begin = page.find("id=\"data\">") + 10;
  const Json data = Json::parse(page.substr(begin, page.find("</script>", begin) - begin));
  CHECK(data.size() == 2);
  CHECK(data[0]["samples"][0]["text"] == " </script><b>\x1b[2J & \"light\" fell on step\nnumber");
}

TEST_CASE("long runs are thinned, their last step and evaluations kept") {
  const ScratchFolder folder;
  std::ofstream file(folder / "metrics.jsonl");
  for (int step = 1; step <= 50001; ++step) {
    file << "{\"step\":" << step << ",\"loss\":1.0" << (step % 10000 == 7 ? ",\"validation_loss\":2.0" : "")
         << "}\n";
  }
  file.close();
  const Json data = report_data(folder.path());
  CHECK(data["stride"] == 3);
  CHECK(data["columns"]["step"].size() == 16668);  // every third and the last
  CHECK(data["columns"]["step"].back() == 50001);
  CHECK(data["validation"].size() == 5);
  CHECK(data["name"] == folder.path().filename().string());
}

TEST_CASE("the summary has exact numbers and says what they are of") {
  const ScratchFolder folder;
  std::ofstream file(folder / "metrics.jsonl");
  for (int step = 1; step <= 30; ++step) {
    file << fmt::format(
        "{{\"step\":{},\"loss\":{},\"tokens_per_second\":{},\"step_seconds\":0.5,\"peak_memory_bytes\":{},"
        "\"time\":{}{}}}\n",
        step, step == 29 ? "null" : std::to_string(step), 100 * step, step == 7 ? 900 : 800,
        1000 + 0.5 * step,
        step == 10   ? ",\"validation_loss\":1.25"
        : step == 20 ? ",\"validation_loss\":1.5"
        : step == 25 ? ",\"validation_loss\":null"
                     : "");
  }
  file.close();
  const Json data = report_data(folder.path());
  CHECK(unordered(data["summary"]) ==
        nlohmann::json::parse(R"({"steps": 30, "loss": 29.0, "loss_steps": [28, 30], "not_finite": 1,
    "validation_loss": 1.5, "validation_step": 20, "best_loss": 1.25, "best_step": 10,
    "load_per_second": 1600.0, "step_seconds": 0.5, "seconds": 15.0, "peak_memory_bytes": 900})"));
  CHECK(data["columns"]["loss"][27] == 28.0);
  CHECK(data["columns"]["loss"][28].is_null());
  CHECK(data["columns"]["time"][0] == 0.5);
  CHECK(data["columns"]["time"][29] == 15.0);
  CHECK(data["validation"] == Json::parse("[[10, 5.0, 1.25, null, {}], [20, 10.0, 1.5, null, {}], "
                                          "[25, 12.5, null, null, {}]]"));
}

TEST_CASE("a run of no step, of one, and one without a finite loss") {
  const ScratchFolder folder;
  const auto page_of = [&](const std::string& metrics) {
    std::ofstream(folder / "metrics.jsonl") << metrics;
    const std::string page = read_file(write_report({folder.path()}));
    for (const char* word : {"nan", "NaN", "inf,", "Infinity]"}) {
      CAPTURE(word);
      CHECK(page.find(word) == std::string::npos);
    }
    return report_data(folder.path())["summary"];
  };
  CHECK(unordered(page_of("")) ==
        nlohmann::json::parse(R"({"steps": 0, "loss": null, "not_finite": 0, "validation_loss": null,
    "best_loss": null, "load_per_second": null, "step_seconds": null, "seconds": null, "peak_memory_bytes": 0})"));
  const Json one = page_of("{\"step\":1,\"loss\":5.5,\"step_seconds\":0.25,\"time\":1000}\n");
  CHECK(one["loss"] == 5.5);
  CHECK(one["loss_steps"] == Json::parse("[1, 1]"));
  CHECK(one["seconds"] == 0.25);
  CHECK(one["load_per_second"].is_null());
  const Json none = page_of("{\"step\":1,\"loss\":null}\n{\"step\":2,\"loss\":null}\n");
  CHECK(none["loss"].is_null());
  CHECK(!none.contains("loss_steps"));
  CHECK(none["not_finite"] == 2);
  CHECK(none["seconds"].is_null());
}

TEST_CASE("a folder without a run is named") {
  const ScratchFolder folder;
  const std::string at = folder.path().string();
  CHECK_THROWS_WITH_AS(
      report_data(folder / "runs/none"),
      (at + "/runs/none: no such folder. Name the output folder of a run (run.output).").c_str(),
      ConfigError);
  std::filesystem::create_directories(folder / "runs/first");
  std::filesystem::create_directories(folder / "runs/empty");
  std::ofstream(folder / "runs/first/metrics.jsonl").flush();
  const std::string near =
      " Name the output folder of a run (run.output). Runs with metrics: " + at + "/runs/first.";
  CHECK_THROWS_WITH_AS(report_data(folder / "runs/none"), (at + "/runs/none: no such folder." + near).c_str(),
                       ConfigError);
  CHECK_THROWS_WITH_AS(report_data(folder / "runs/empty"),
                       (at + "/runs/empty: holds no metrics.jsonl." + near).c_str(), ConfigError);
  CHECK_THROWS_WITH_AS(write_report({}),
                       "report: no run folder given. Write for example: colossal report runs/first.",
                       ConfigError);
}

// For looking at the page in a browser, by eye or with tools/check_report.py: COLOSSAL_REPORT_DEMO=/tmp/demo build/tests/test_train -tc='demo*'
TEST_CASE("demo report" * doctest::skip(std::getenv("COLOSSAL_REPORT_DEMO") == nullptr)) {
  const std::filesystem::path folder = std::getenv("COLOSSAL_REPORT_DEMO");
  make_run(folder / "gpt2-1-rank", 600, 1, 1);
  make_run(folder / "gpt2-2-ranks", 600, 1.4, 2);
  make_run(folder / "llama", 450, 0.8, 3);
  write_report({folder / "gpt2-1-rank"}, folder / "one.html");
  CHECK(std::filesystem::exists(write_report(
      {folder / "gpt2-1-rank", folder / "gpt2-2-ranks", folder / "llama"}, folder / "three.html")));
}
