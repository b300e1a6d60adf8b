// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "colossal/base/config/toml.h"
#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/train/monitor/metrics.h"
#include "colossal/train/monitor/report_page.h"
#include "colossal/train/monitor/run_folder.h"
#include "colossal/train/named_folder.h"

namespace colossal::train {
namespace {

// More points than a screen has columns by far; longer runs are thinned evenly, evaluations kept.
constexpr size_t kMaxPoints = 20000;

constexpr const char* kRunFolders = "the output folder of a run (run.output)";

Json shown(double value) {
  if (!std::isfinite(value)) return nullptr;
  return Json::parse(fmt::format("{:.6g}", value));
}

Json percent(std::optional<double> share) { return share ? shown(100 * *share) : Json(); }

void flatten(const std::string& path, const config::Value& value, Json& out) {
  if (const auto* table = value.get<config::Table>()) {
    for (const auto& [name, child] : *table) flatten(path.empty() ? name : path + "." + name, child, out);
  } else {
    out[path] = config::toml_text(value);
  }
}

// {"train.steps": "1000", ...}; empty when there is none or it is damaged.
Json read_config(const std::filesystem::path& path) {
  Json out = Json::object();
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return out;
  try {
    flatten("", config::parse_toml(read_file(path), path.string()), out);
  } catch (const ConfigError&) {
    return Json::object();
  }
  return out;
}

Json read_environment(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return Json::object();
  Json json = Json::parse(read_file(path), nullptr, /*allow_exceptions=*/false);
  return json.is_object() ? json : Json::object();
}

int64_t integer(const Json& config, const char* key) {
  const auto found = config.find(key);
  return found == config.end() ? 0 : std::strtoll(found->get<std::string>().c_str(), nullptr, 10);
}

// Seconds since 1970 at which the first step began.
double start_of(const std::vector<StepMetrics>& all) {
  return all.empty() ? 0 : all.front().time - all.front().step_seconds;
}

Json columns_of(const std::vector<StepMetrics>& all) {
  Json columns = Json::object();
  for (const char* name :
       {"step", "time", "loss", "grad_norm", "learning_rate", "load_per_second", "step_seconds",
        "data_wait_seconds", "communication_seconds", "peak_memory_bytes"}) {
    columns[name] = Json::array();
  }
  std::set<std::string> parts;  // of the losses
  for (const StepMetrics& m : all) {
    for (const auto& [name, part] : m.parts) parts.insert(name);
  }
  for (const std::string& name : parts) columns[name + "_loss"] = Json::array();
  Json validation = Json::array();
  const size_t stride = (all.size() + kMaxPoints - 1) / kMaxPoints;
  const double start = start_of(all);
  for (size_t i = 0; i < all.size(); ++i) {
    const StepMetrics& m = all[i];
    const Json time = shown(std::round((m.time - start) * 100) / 100);
    if (m.validation_loss) {
      Json of_parts = Json::object();
      for (const auto& [name, part] : m.parts)
        of_parts[name] = {shown(part.validation_loss.value_or(NAN)), percent(part.validation_accuracy)};
      validation.push_back(
          {m.step, time, shown(*m.validation_loss), percent(m.validation_accuracy), of_parts});
    }
    if (i % stride != 0 && i + 1 != all.size()) continue;
    columns["step"].push_back(m.step);
    columns["time"].push_back(time);
    columns["loss"].push_back(shown(m.loss));
    for (const std::string& name : parts) {
      const auto part = m.parts.find(name);
      columns[name + "_loss"].push_back(part == m.parts.end() ? Json() : shown(part->second.loss));
    }
    columns["grad_norm"].push_back(shown(m.grad_norm));
    columns["learning_rate"].push_back(shown(m.learning_rate));
    columns["load_per_second"].push_back(shown(m.load_per_second));
    columns["step_seconds"].push_back(shown(m.step_seconds));
    columns["data_wait_seconds"].push_back(shown(m.data_wait_seconds));
    columns["communication_seconds"].push_back(shown(m.communication_seconds));
    columns["peak_memory_bytes"].push_back(m.peak_memory_bytes);
  }
  return {{"columns", columns}, {"parts", parts}, {"validation", validation}, {"stride", stride}};
}

// The upper median of the finite values; null where there is none.
Json median(const std::vector<StepMetrics>& all, double StepMetrics::*what) {
  std::vector<double> known;
  for (const StepMetrics& m : all) {
    if (std::isfinite(m.*what)) known.push_back(m.*what);
  }
  if (known.empty()) return nullptr;
  const auto middle = known.begin() + static_cast<std::ptrdiff_t>(known.size() / 2);
  std::nth_element(known.begin(), middle, known.end());
  return shown(*middle);
}

// The training loss is a mean over the last tenth of the steps, at most 20 of them: one step says little.
Json summary_of(const std::vector<StepMetrics>& all) {
  Json summary = {{"steps", all.empty() ? 0 : all.back().step},
                  {"loss", nullptr},
                  {"validation_loss", nullptr},
                  {"best_loss", nullptr},
                  {"load_per_second", median(all, &StepMetrics::load_per_second)},
                  {"step_seconds", median(all, &StepMetrics::step_seconds)},
                  {"seconds", all.empty() ? Json() : shown(all.back().time - start_of(all))}};
  std::vector<const StepMetrics*> finite;
  int64_t peak = 0;
  double best = std::numeric_limits<double>::infinity();
  for (const StepMetrics& m : all) {
    peak = std::max(peak, m.peak_memory_bytes);
    if (std::isfinite(m.loss)) finite.push_back(&m);
    const double validation = m.validation_loss.value_or(NAN);
    if (m.validation_accuracy) summary["accuracy"] = percent(m.validation_accuracy);
    if (!std::isfinite(validation)) continue;
    summary["validation_loss"] = shown(validation);
    summary["validation_step"] = m.step;
    if (validation >= best) continue;
    best = validation;
    summary["best_loss"] = shown(best);
    summary["best_step"] = m.step;
  }
  summary["peak_memory_bytes"] = peak;
  summary["not_finite"] = all.size() - finite.size();
  if (finite.empty()) return summary;
  const size_t window = std::clamp<size_t>(finite.size() / 10, 1, 20);
  double sum = 0;
  for (size_t i = finite.size() - window; i < finite.size(); ++i) sum += finite[i]->loss;
  summary["loss"] = shown(sum / static_cast<double>(window));
  summary["loss_steps"] = {finite[finite.size() - window]->step, finite.back()->step};
  return summary;
}

// JSON inside a <script> element: nothing in it may end the element or open a comment.
std::string embedded(const Json& json) {
  std::string out;
  for (const char c : json.dump(-1, ' ', false, Json::error_handler_t::replace)) {
    if (c == '<')
      out += "\\u003c";
    else
      out += c;
  }
  return out;
}

}  // namespace

Json report_data(const std::filesystem::path& run) {
  const RunFolder folder{run};
  std::error_code ignored;
  check_named_folder(run, kRunFolders, Runs::with_metrics);
  if (!std::filesystem::exists(folder.metrics(), ignored)) {
    refuse_named_folder(run, "holds no metrics.jsonl", kRunFolders, Runs::with_metrics);
  }
  const std::vector<StepMetrics> all = read_metrics(folder.metrics());
  Json data = columns_of(all);
  data["summary"] = summary_of(all);
  const Json config = read_config(folder.config());
  const auto name = config.find("run.name");
  const auto last = run.lexically_normal().filename().empty()
                        ? run.lexically_normal().parent_path().filename()
                        : run.lexically_normal().filename();
  data["name"] =
      name == config.end() ? Json(last.string()) : Json::parse(name->get<std::string>(), nullptr, false);
  if (!data["name"].is_string()) data["name"] = last.string();
  data["folder"] = run.string();
  const bool images = !all.empty() && all.back().kind == Load::Kind::images;
  data["unit"] = images ? "images" : "tokens";
  data["load_per_step"] =
      integer(config, "train.global_batch_size") * (images ? 1 : integer(config, "data.sequence_length"));
  data["total_steps"] = integer(config, "train.steps");
  data["config"] = config;
  data["environment"] = read_environment(folder.environment());
  data["samples"] = Json::array();
  for (const Sample& sample : read_samples(folder.samples())) {
    data["samples"].push_back({{"step", sample.step}, {"prompt", sample.prompt}, {"text", sample.text}});
  }
  return data;
}

std::string report_html(const std::vector<Json>& runs) {
  std::string page =
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>Colossal report</title>\n<style>\n";
  page += kReportStyle;
  page += "</style>\n</head>\n<body>\n";
  page += kReportBody;
  page += "<script type=\"application/json\" id=\"data\">" + embedded(Json(runs)) +
          "</script>\n<script>\n'use strict';\n";
  page += kReportChart;
  page += kReportScript;
  page += "</script>\n</body>\n</html>\n";
  return page;
}

std::filesystem::path write_report(const std::vector<std::filesystem::path>& runs,
                                   const std::optional<std::filesystem::path>& page) {
  if (runs.empty())
    throw ConfigError("report: no run folder given. Write for example: colossal report runs/first.");
  std::vector<Json> data;
  for (const auto& run : runs) data.push_back(report_data(run));
  const RunFolder first{runs.front()};
  std::filesystem::path path = page.value_or(runs.size() == 1 ? first.report() : first.comparison());
  write_file_durably(path, report_html(data));
  return path;
}

}  // namespace colossal::train
