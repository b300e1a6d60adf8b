// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/metrics.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/text.h"

namespace colossal::train {
namespace {

constexpr const char *kTokens = "tokens_per_second", *kImages = "images_per_second";

double number(const Json& json, const std::string& key) {
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return std::numeric_limits<double>::quiet_NaN();
  return found->get<double>();
}

std::optional<double> known_number(const Json& json, const std::string& key) {
  return json.contains(key) ? std::optional(number(json, key)) : std::nullopt;
}

// Six digits are more than a curve shows; counts stay exact.
Json rounded(double value) {
  if (!std::isfinite(value)) return nullptr;
  return Json::parse(fmt::format("{:.7g}", value));
}

// Resumption and layouts are compared by it.
Json in_full(double value) { return std::isfinite(value) ? Json(value) : Json(); }

// NAME_loss and what belongs to it.
std::map<std::string, PartMetrics> parts_in(const Json& json) {
  constexpr std::string_view kLoss = "_loss", kValidation = "validation_";
  std::map<std::string, PartMetrics> parts;
  for (const auto& [key, value] : json.items()) {
    if (!key.ends_with(kLoss) || key.starts_with(kValidation)) continue;
    const std::string name = key.substr(0, key.size() - kLoss.size());
    const std::string validation = std::string(kValidation) + name;
    PartMetrics& part = parts[name];
    part.loss = number(json, key);
    part.validation_loss = known_number(json, validation + "_loss");
    part.validation_accuracy = known_number(json, validation + "_accuracy");
  }
  return parts;
}

std::optional<Json> parse_line(const std::string& line) {
  Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("step") || !json["step"].is_number_integer()) return std::nullopt;
  return json;
}

}  // namespace

Json to_json(const StepMetrics& m) {
  Json json = {{"step", m.step},
               {"loss", in_full(m.loss)},
               {"grad_norm", in_full(m.grad_norm)},
               {"learning_rate", m.learning_rate},
               {m.kind == Load::Kind::images ? kImages : kTokens, rounded(m.load_per_second)},
               {"step_seconds", rounded(m.step_seconds)},
               {"peak_memory_bytes", m.peak_memory_bytes},
               {"data_wait_seconds", rounded(m.data_wait_seconds)},
               {"communication_seconds", rounded(m.communication_seconds)},
               {"time", std::round(m.time * 1e3) / 1e3}};
  if (m.validation_loss) {
    json["validation_loss"] = in_full(*m.validation_loss);
  }
  if (m.validation_accuracy) json["validation_accuracy"] = *m.validation_accuracy;
  for (const auto& [name, part] : m.parts) {
    json[name + "_loss"] = in_full(part.loss);
    if (part.validation_loss) json["validation_" + name + "_loss"] = in_full(*part.validation_loss);
    if (part.validation_accuracy) json["validation_" + name + "_accuracy"] = *part.validation_accuracy;
  }
  if (m.loss_scale != 1) json["loss_scale"] = m.loss_scale;
  if (!m.applied) json["applied"] = false;
  if (!m.nonfinite.empty()) json["nonfinite"] = m.nonfinite;
  return json;
}

StepMetrics step_metrics(const Json& json) {
  StepMetrics m;
  m.step = json.at("step").get<int64_t>();
  m.loss = number(json, "loss");
  m.grad_norm = number(json, "grad_norm");
  m.learning_rate = number(json, "learning_rate");
  m.kind = json.contains(kImages) ? Load::Kind::images : Load::Kind::tokens;
  m.load_per_second = number(json, m.kind == Load::Kind::images ? kImages : kTokens);
  m.step_seconds = number(json, "step_seconds");
  const double peak = number(json, "peak_memory_bytes");
  m.peak_memory_bytes = std::isfinite(peak) ? static_cast<int64_t>(peak) : 0;
  m.data_wait_seconds = number(json, "data_wait_seconds");
  m.communication_seconds = number(json, "communication_seconds");
  m.time = number(json, "time");
  m.validation_loss = known_number(json, "validation_loss");
  m.validation_accuracy = known_number(json, "validation_accuracy");
  m.parts = parts_in(json);
  if (json.contains("loss_scale")) m.loss_scale = number(json, "loss_scale");
  m.applied = !(json.contains("applied") && json["applied"] == false);
  if (json.contains("nonfinite") && json["nonfinite"].is_string()) m.nonfinite = json["nonfinite"];
  return m;
}

std::string readable(std::string name) {
  std::ranges::replace(name, '_', ' ');
  return name;
}

StepLog::StepLog(std::filesystem::path path, int64_t first_step) : path_(std::move(path)) {
  std::error_code ignored;
  if (path_.has_parent_path()) std::filesystem::create_directories(path_.parent_path(), ignored);
  if (std::filesystem::exists(path_, ignored)) {
    const std::string before = read_file(path_);
    std::string kept;
    for (const std::string& line : split(before, '\n')) {
      const auto json = parse_line(line);
      if (json && (*json)["step"].get<int64_t>() < first_step) kept += line + '\n';
    }
    if (kept != before) write_file_durably(path_, kept);
  }
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0)
    throw IoError(fmt::format("{}: cannot be opened for writing: {}.", path_.string(), std::strerror(errno)));
  end_ = lseek(fd_, 0, SEEK_END);
  last_ = end_;
}

StepLog::StepLog(StepLog&& other) noexcept
    : path_(std::move(other.path_)),
      fd_(std::exchange(other.fd_, -1)),
      last_(other.last_),
      end_(other.end_) {}

StepLog::~StepLog() {
  if (fd_ >= 0) close(fd_);
}

void StepLog::append(const Json& line) {
  last_ = end_;
  write_at(last_, line);
}

void StepLog::replace_last(const Json& line) { write_at(last_, line); }

void StepLog::write_at(int64_t offset, const Json& line) {
  const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
  size_t written = 0;
  while (written < text.size()) {
    const ssize_t count =
        pwrite(fd_, text.data() + written, text.size() - written, offset + static_cast<int64_t>(written));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      throw IoError(fmt::format("{}: cannot be written: {}.", path_.string(), std::strerror(errno)));
    written += static_cast<size_t>(count);
  }
  const int64_t end = offset + static_cast<int64_t>(text.size());
  if (end < end_ && ftruncate(fd_, end) != 0) {
    throw IoError(fmt::format("{}: cannot be written: {}.", path_.string(), std::strerror(errno)));
  }
  end_ = end;
}

std::vector<Json> read_step_log(const std::filesystem::path& path) {
  std::vector<Json> lines;
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) return lines;
  for (const std::string& line : split(read_file(path), '\n')) {
    if (auto json = parse_line(line)) lines.push_back(std::move(*json));
  }
  return lines;
}

std::vector<StepMetrics> read_metrics(const std::filesystem::path& path) {
  std::vector<StepMetrics> all;
  for (const Json& line : read_step_log(path)) all.push_back(step_metrics(line));
  return all;
}

std::vector<Sample> read_samples(const std::filesystem::path& path) {
  std::vector<Sample> all;
  for (const Json& line : read_step_log(path)) {
    Sample sample{line["step"].get<int64_t>(), "", ""};
    if (line.contains("prompt") && line["prompt"].is_string()) sample.prompt = line["prompt"];
    if (line.contains("text") && line["text"].is_string()) sample.text = line["text"];
    all.push_back(std::move(sample));
  }
  return all;
}

}  // namespace colossal::train
