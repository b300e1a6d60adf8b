// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/profile_record.h"

namespace colossal::train {
namespace {

using SummaryTime = ProfileRecord::Time;

double seconds_between(SummaryTime start, SummaryTime end) {
  return std::chrono::duration<double>(end - start).count();
}

// Parts of names: operators of the library, their autograd nodes, ATen's where a tensor is not on the CPU. The first hit counts.
constexpr std::pair<std::string_view, std::string_view> kKinds[] = {
    {"::cross_entropy", "loss"}, {"::vocabulary_parallel_loss", "loss"},
    {"FusedLoss", "loss"},       {"nll_loss", "loss"},
    {"NllLoss", "loss"},         {"log_softmax", "loss"},
    {"LogSoftmax", "loss"},      {"::attention", "attention"},
    {"::Flash", "attention"},    {"scaled_dot", "attention"},
    {"ScaledDot", "attention"},  {"::norm", "norm"},
    {"::Norm", "norm"},          {"layer_norm", "norm"},
    {"LayerNorm", "norm"},       {"rms_norm", "norm"},
    {"RmsNorm", "norm"},         {"::activation", "activation"},
    {"::Unary", "activation"},   {"::Swiglu", "activation"},
    {"gelu", "activation"},      {"Gelu", "activation"},
    {"silu", "activation"},      {"Silu", "activation"},
    {"embedding", "embedding"},  {"Embedding", "embedding"},
    {"AddRows", "embedding"},    {"::rotary", "rotary"},
    {"::Rotary", "rotary"},      {"::linear", "matmul"},
    {"::Linear", "matmul"},      {"_linear", "matmul"},
    {"::mm", "matmul"},          {"::addmm", "matmul"},
    {"::bmm", "matmul"},         {"::matmul", "matmul"},
    {"MmBackward", "matmul"},    {"AddmmBackward", "matmul"},
    {"BmmBackward", "matmul"},
};
constexpr std::string_view kRows[] = {"matmul",     "attention", "rotary", "norm",
                                      "activation", "embedding", "loss",   "other"};

std::string_view kind_of(std::string_view name) {
  for (const auto& [part, kind] : kKinds)
    if (name.find(part) != name.npos) return kind;
  return {};
}

struct Sums {
  std::map<std::pair<std::string, std::string_view>, double> seconds;  // (phase, kind)
  std::map<std::string, double> phases;                                // whole ones
  std::map<std::string, double> exposed;                               // blocked in collectives, by phase
  double in_flight = 0;                                                // some collective was
};

const std::string* phase_at(const ProfileRecord& record, SummaryTime time) {
  auto after = std::upper_bound(record.phases.begin(), record.phases.end(), time,
                                [](SummaryTime t, const ProfileRecord::Phase& p) { return t < p.start; });
  if (after == record.phases.begin() || (--after)->end < time) return nullptr;
  return &after->name;
}

// Time of an operator without the operators that it called; these count as what the outermost known one is.
void add_operator_times(const ProfileRecord& record, Sums& sums) {
  std::vector<const ProfileRecord::Operator*> order;
  for (const ProfileRecord::Operator& op : record.operators) order.push_back(&op);
  std::stable_sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    if (a->thread != b->thread) return a->thread < b->thread;
    return a->start != b->start ? a->start < b->start : a->end > b->end;
  });
  struct Open {
    const ProfileRecord::Operator* op;
    std::string_view kind;
  };
  std::vector<Open> stack;
  for (const ProfileRecord::Operator* op : order) {
    while (!stack.empty() && (stack.back().op->thread != op->thread || stack.back().op->end <= op->start))
      stack.pop_back();
    const std::string_view inherited = stack.empty() ? std::string_view() : stack.back().kind;
    const std::string_view kind = inherited.empty() ? kind_of(op->name) : inherited;
    const std::string* phase = phase_at(record, op->start);
    if (phase != nullptr && !kind.empty() && inherited.empty())
      sums.seconds[{*phase, kind}] += seconds_between(op->start, op->end);
    stack.push_back({op, kind});
  }
}

void add_collective_times(const ProfileRecord& record, Sums& sums) {
  SummaryTime until = {};
  for (const comm::RecorderEntry& entry : record.collectives) {
    const SummaryTime end = finished(entry);
    if (end > until) sums.in_flight += seconds_between(std::max(until, entry.started), end);
    until = std::max(until, end);
    if (const std::string* phase = phase_at(record, end)) sums.exposed[*phase] += entry.waited_seconds;
  }
}

// By kind and mesh axes, the longest first. Hidden: the rank worked meanwhile.
std::string collective_table(const ProfileRecord& record, double num_steps) {
  struct Row {
    std::string name = {};
    double calls = 0, bytes = 0, seconds = 0, waited = 0;
  };
  std::map<std::string, Row> by_name;
  for (const comm::RecorderEntry& entry : record.collectives) {
    const std::string name = fmt::format("{} over {}", entry.op, entry.group);
    Row& row = by_name.try_emplace(name, Row{.name = name}).first->second;
    row.calls += 1;
    row.bytes += static_cast<double>(entry.bytes_sent);
    row.seconds += entry.seconds;
    row.waited += entry.waited_seconds;
  }
  if (by_name.empty()) return {};
  std::vector<Row> rows;
  for (const auto& [name, row] : by_name) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.seconds > b.seconds; });
  std::string text = fmt::format("\n{:<36}{:>8}{:>12}{:>15}{:>15}{:>9}\n", "collectives per step", "calls",
                                 "MB sent", "ms in flight", "ms exposed", "hidden");
  for (const Row& row : rows) {
    text +=
        fmt::format("{:<36}{:>8.1f}{:>12.2f}{:>15.2f}{:>15.2f}{:>8.1f}%\n", row.name, row.calls / num_steps,
                    row.bytes / 1e6 / num_steps, row.seconds * 1e3 / num_steps, row.waited * 1e3 / num_steps,
                    row.seconds > 0 ? 100 * std::max(0.0, 1 - row.waited / row.seconds) : 0.0);
  }
  return text;
}

}  // namespace

std::string profile_summary(const ProfileRecord& record) {
  Sums sums;
  double total = 0, exposed = 0;
  for (const ProfileRecord::Step& step : record.steps) total += seconds_between(step.start, step.end);
  for (const ProfileRecord::Phase& phase : record.phases)
    sums.phases[phase.name] += seconds_between(phase.start, phase.end);
  add_operator_times(record, sums);
  add_collective_times(record, sums);
  const double num_steps = static_cast<double>(std::max<size_t>(1, record.steps.size()));
  const auto milliseconds = [&](double seconds) { return seconds * 1e3 / num_steps; };
  const auto share = [&](double seconds) { return total > 0 ? 100 * seconds / total : 0.0; };

  std::string text = record.steps.empty() ? ""
                                          : fmt::format("rank {}, steps {} to {}: {:.1f} ms per step\n\n",
                                                        record.rank, record.steps.front().step,
                                                        record.steps.back().step, milliseconds(total));
  text +=
      fmt::format("{:<28}{:>12}{:>12}{:>12}{:>9}\n", "ms per step", "forward", "backward", "both", "share");
  std::map<std::string, double> rest = sums.phases;
  for (const auto& [phase, seconds] : sums.exposed) {
    rest[phase] -= seconds;
    exposed += seconds;
  }
  for (const std::string_view kind : kRows) {
    double part[2] = {};
    for (const int i : {0, 1}) {
      const std::string phase = i == 0 ? "forward" : "backward";
      if (kind == "other") {
        part[i] = std::max(0.0, rest[phase]);
      } else {
        part[i] = sums.seconds[{phase, kind}];
        rest[phase] -= part[i];
      }
    }
    if (part[0] + part[1] == 0 && kind != "other") continue;
    text += fmt::format("{:<28}{:>12.2f}{:>12.2f}{:>12.2f}{:>8.1f}%\n", kind, milliseconds(part[0]),
                        milliseconds(part[1]), milliseconds(part[0] + part[1]), share(part[0] + part[1]));
  }
  const auto line = [&](std::string_view name, double seconds) {
    text += fmt::format("{:<52}{:>12.2f}{:>8.1f}%\n", name, milliseconds(seconds), share(seconds));
  };
  line("optimizer, gradient norm", std::max(0.0, rest["optimizer"]));
  line("data", std::max(0.0, rest["data"]));
  line("report", std::max(0.0, rest["report"]));
  line("communication, exposed", exposed);
  text += fmt::format("{:<52}{:>12.2f}  (not in the sum)\n", "communication, overlapped",
                      milliseconds(std::max(0.0, sums.in_flight - exposed)));
  text += collective_table(record, num_steps);
  if (record.num_dropped_operators > 0)
    text += fmt::format("{} operators beyond the limit were not recorded\n", record.num_dropped_operators);
  if (record.num_dropped_collectives > 0)
    text += fmt::format("{} collectives were not recorded: more in one step than the flight recorder holds\n",
                        record.num_dropped_collectives);
  return text;
}

}  // namespace colossal::train
