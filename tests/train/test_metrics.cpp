// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/train/monitor/metrics.h"
#include "tests/support/scratch.h"

using namespace colossal;
using namespace colossal::train;
using colossal::testing::ScratchFolder;

TEST_CASE("a line has the promised keys, and reads back") {
  StepMetrics m{
      .step = 7, .loss = 1.0 / 3, .grad_norm = 0.25, .learning_rate = 3e-4, .load_per_second = 1234.5678901};
  m.step_seconds = 0.5;
  m.peak_memory_bytes = int64_t{1} << 40;
  m.data_wait_seconds = 1e-5;
  m.communication_seconds = 0.125;
  m.time = 1.7e9;
  CHECK(
      to_json(m).dump() ==
      R"({"step":7,"loss":0.3333333333333333,"grad_norm":0.25,"learning_rate":0.0003,"tokens_per_second":1234.568,)"
      R"("step_seconds":0.5,"peak_memory_bytes":1099511627776,"data_wait_seconds":1e-05,"communication_seconds":0.125,)"
      R"("time":1700000000.0})");
  const StepMetrics again = step_metrics(to_json(m));
  CHECK(again.loss == m.loss);  // to the last bit
  CHECK(again.peak_memory_bytes == m.peak_memory_bytes);
  CHECK_FALSE(again.validation_loss.has_value());
  CHECK(again.parts.empty());
}

TEST_CASE("parts of the loss have keys of their own, and read back") {
  StepMetrics m{.step = 7, .loss = 3.5};
  m.validation_loss = 3.25;
  m.parts["masked_lm"] = {.loss = 1.0 / 3, .validation_loss = 2.5, .validation_accuracy = 0.125};
  m.parts["next_sentence"] = {.loss = NAN};
  const Json json = to_json(m);
  CHECK(json.at("masked_lm_loss") == 1.0 / 3);
  CHECK(json.at("validation_masked_lm_loss") == 2.5);
  CHECK(json.at("validation_masked_lm_accuracy") == 0.125);
  CHECK(json.at("next_sentence_loss").is_null());
  CHECK_FALSE(json.contains("validation_next_sentence_loss"));
  CHECK_FALSE(json.contains("validation_next_sentence_accuracy"));
  const StepMetrics again = step_metrics(json);
  REQUIRE(again.parts.size() == 2);
  CHECK(again.parts.at("masked_lm").loss == 1.0 / 3);
  CHECK(again.parts.at("masked_lm").validation_loss == 2.5);
  CHECK(again.parts.at("masked_lm").validation_accuracy == 0.125);
  CHECK(std::isnan(again.parts.at("next_sentence").loss));
  CHECK_FALSE(again.parts.at("next_sentence").validation_loss.has_value());
  CHECK(readable("masked_lm") == "masked lm");
}

TEST_CASE("NaN becomes null and NaN again") {
  StepMetrics m{.step = 1};
  m.validation_loss = INFINITY;
  m.applied = false;
  m.nonfinite = "blocks.0.norm1.weight";
  const Json json = to_json(m);
  CHECK(json["loss"].is_null());
  CHECK(json["validation_loss"].is_null());
  CHECK(std::isnan(step_metrics(json).loss));
  CHECK(step_metrics(json).validation_loss.has_value());
  CHECK_FALSE(step_metrics(json).applied);
  CHECK(step_metrics(json).nonfinite == "blocks.0.norm1.weight");
}

TEST_CASE("resuming drops the steps that are repeated, and a torn last line") {
  const ScratchFolder folder;
  const auto path = folder / "deep/metrics.jsonl";
  {
    MetricsWriter writer(path, 1);
    for (int64_t step = 1; step <= 8; ++step) writer.write({.step = step, .loss = static_cast<double>(step)});
  }
  std::ofstream(path, std::ios::app) << "{\"step\":9,\"lo";  // killed while writing
  {
    MetricsWriter writer(path, 6);
    CHECK(read_metrics(path).size() == 5);
    writer.write({.step = 6, .loss = 60});
  }
  const auto all = read_metrics(path);
  REQUIRE(all.size() == 6);
  CHECK(all[4].loss == 5);
  CHECK(all[5].step == 6);
  CHECK(all[5].loss == 60);
  const std::string content = read_file(path);
  CHECK(std::count(content.begin(), content.end(), '\n') == 6);
  { MetricsWriter resumed(path, 7); }  // nothing to drop: the file stays as it is
  CHECK(read_file(path) == content);
  { MetricsWriter fresh(path, 1); }
  CHECK(read_file(path).empty());
}

TEST_CASE("a log that cannot be opened is named") {
  const ScratchFolder folder;
  std::ofstream(folder / "file") << "x";
  const std::string path = (folder / "file/metrics.jsonl").string();
  CHECK_THROWS_WITH_AS(MetricsWriter(path, 1),
                       (path + ": cannot be opened for writing: Not a directory.").c_str(), IoError);
  CHECK(read_metrics(folder / "nothing").empty());
}

TEST_CASE("samples survive any bytes") {
  const ScratchFolder folder;
  {
    StepLog log(folder / "samples.jsonl", 1);
    log.append({{"step", 3}, {"prompt", "a\n\"b\""}, {"text", "\xff broken \xe2\x82"}});
  }
  const auto samples = read_samples(folder / "samples.jsonl");
  REQUIRE(samples.size() == 1);
  CHECK(samples[0].prompt == "a\n\"b\"");
  CHECK(samples[0].text == "\xEF\xBF\xBD broken \xEF\xBF\xBD");
}

TEST_CASE("the last line can be written again, longer or shorter") {
  const ScratchFolder folder;
  const auto path = folder / "log.jsonl";
  {
    StepLog log(path, 1);
    log.append({{"step", 1}});
    log.append({{"step", 2}});
    log.replace_last({{"step", 2}, {"validation_loss", 1.5}});
    log.append({{"step", 3}, {"x", 1}});
    log.replace_last({{"step", 3}});
  }
  CHECK(read_file(path) == "{\"step\":1}\n{\"step\":2,\"validation_loss\":1.5}\n{\"step\":3}\n");
}
