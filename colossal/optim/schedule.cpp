// SPDX-License-Identifier: Apache-2.0
#include "colossal/optim/schedule.h"

#include <fmt/ranges.h>

#include <cmath>
#include <numbers>

#include "colossal/base/error.h"
#include "colossal/base/text.h"

namespace colossal::optim {
namespace {

using Factor = double (*)(const ScheduleOptions&, int64_t step);  // rate / peak, after the warm-up

double above(const ScheduleOptions& o, double factor) {
  return std::max(0.0, factor * (1 - o.min_ratio) + o.min_ratio);
}

// 0 at the end of the warm-up, 1 at the last step.
double progress(const ScheduleOptions& o, int64_t step) {
  return static_cast<double>(step - o.warmup_steps) /
         static_cast<double>(std::max<int64_t>(1, o.total_steps - o.warmup_steps));
}

double wave(double waves) { return 0.5 * (1 + std::cos(std::numbers::pi * waves)); }

double constant(const ScheduleOptions&, int64_t) { return 1; }

double linear(const ScheduleOptions& o, int64_t step) {
  const auto left = static_cast<double>(o.total_steps - step);
  return above(
      o, std::max(0.0, left / static_cast<double>(std::max<int64_t>(1, o.total_steps - o.warmup_steps))));
}

double cosine(const ScheduleOptions& o, int64_t step) {
  return above(o, wave(2 * o.cycles * progress(o, step)));
}

double cosine_restarts(const ScheduleOptions& o, int64_t step) {
  const double p = progress(o, step);
  return p >= 1 ? 0 : wave(std::fmod(o.cycles * p, 1.0));
}

double polynomial(const ScheduleOptions& o, int64_t step) {
  return step > o.total_steps ? o.min_ratio
                              : (1 - o.min_ratio) * std::pow(1 - progress(o, step), o.power) + o.min_ratio;
}

double inverse_sqrt(const ScheduleOptions& o, int64_t step) {
  const auto scale = static_cast<double>(o.warmup_steps > 0 ? o.warmup_steps : 10'000);
  return 1 / std::sqrt((static_cast<double>(step - o.warmup_steps) + scale) / scale);
}

double warmup_stable_decay(const ScheduleOptions& o, int64_t step) {
  const int64_t start = o.total_steps - o.decay_steps;
  if (step < start) return 1;
  if (step >= o.total_steps) return o.min_ratio;
  const double p = static_cast<double>(step - start) / static_cast<double>(o.decay_steps);
  const double shape = o.decay == "linear"   ? 1 - p
                       : o.decay == "cosine" ? wave(2 * o.cycles * p)
                                             : 1 - std::sqrt(p);
  return above(o, shape);
}

const std::vector<std::pair<std::string, Factor>>& forms() {
  static const std::vector<std::pair<std::string, Factor>> all{
      {"constant", constant},      {"linear", linear},
      {"cosine", cosine},          {"cosine_restarts", cosine_restarts},
      {"polynomial", polynomial},  {"inverse_sqrt", inverse_sqrt},
      {"wsd", warmup_stable_decay}};
  return all;
}

Factor find_form(const std::string& name, std::vector<std::string>& problems) {
  std::vector<std::string> names;
  for (const auto& [known, form] : forms()) {
    if (known == name) return form;
    names.push_back(known);
  }
  problems.push_back(
      fmt::format("schedule.name = \"{}\" is not a schedule. {}", name, allowed_instead(name, names)));
  return constant;
}

void check(const ScheduleOptions& o, std::vector<std::string>& problems) {
  const bool ends = o.name != "constant" && o.name != "inverse_sqrt";
  if (o.warmup_steps < 0)
    problems.push_back(fmt::format("schedule.warmup_steps = {} is negative.", o.warmup_steps));
  if (ends && o.total_steps < o.warmup_steps) {
    problems.push_back(fmt::format("schedule.warmup_steps = {} is beyond the {} steps of the run.",
                                   o.warmup_steps, o.total_steps));
  }
  if (!(o.min_ratio >= 0 && o.min_ratio <= 1)) {
    problems.push_back(fmt::format("schedule.min_ratio = {} is out of range. Allowed: 0 to 1.", o.min_ratio));
  }
  if (o.name != "wsd") return;
  if (o.decay_steps < 0 || o.warmup_steps + o.decay_steps > o.total_steps) {
    problems.push_back(fmt::format(
        "schedule.decay_steps = {} does not fit: {} steps, {} of them warm-up. Allowed: 0 to {}.",
        o.decay_steps, o.total_steps, o.warmup_steps, std::max<int64_t>(0, o.total_steps - o.warmup_steps)));
  }
  if (o.decay != "cosine" && o.decay != "linear" && o.decay != "1-sqrt") {
    problems.push_back(fmt::format(
        "schedule.decay = \"{}\" is not a form of decay. Allowed: cosine, linear, 1-sqrt.", o.decay));
  }
}

}  // namespace

Schedule make_schedule(const ScheduleOptions& options) {
  std::vector<std::string> problems;
  const Factor after_warmup = find_form(options.name, problems);
  check(options, problems);
  if (!problems.empty()) throw ConfigError(std::move(problems));
  return [o = options, after_warmup](int64_t step) {
    if (step >= o.warmup_steps) return o.learning_rate * after_warmup(o, step);
    const double rise = static_cast<double>(step) / static_cast<double>(o.warmup_steps);
    return o.learning_rate * (o.name == "wsd" ? above(o, rise) : rise);
  };
}

}  // namespace colossal::optim
