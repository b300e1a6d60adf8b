// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/json.h"
#include "colossal/train/monitor/profile_record.h"

namespace colossal::train {
namespace {

using TraceTime = ProfileRecord::Time;

double microseconds(TraceTime::duration d) { return std::chrono::duration<double, std::micro>(d).count(); }

Json complete_event(const std::string& name, const char* category, int rank, int row, TraceTime start,
                    TraceTime end) {
  return {{"ph", "X"},
          {"name", name},
          {"cat", category},
          {"pid", rank},
          {"tid", row},
          {"ts", microseconds(start.time_since_epoch())},
          {"dur", std::max(0.0, microseconds(end - start))}};
}

Json name_event(const char* what, int rank, int row, const std::string& name) {
  return {{"ph", "M"}, {"name", what}, {"pid", rank}, {"tid", row}, {"args", {{"name", name}}}};
}

constexpr int kStepRow = 0, kPhaseRow = 1, kFirstThreadRow = 10, kFirstCollectiveRow = 100;

void add_operators(const ProfileRecord& record, Json& events) {
  std::map<uint64_t, int> rows;
  for (const ProfileRecord::Operator& op : record.operators) {
    const auto [row, fresh] = rows.try_emplace(op.thread, kFirstThreadRow + static_cast<int>(rows.size()));
    if (fresh)
      events.push_back(
          name_event("thread_name", record.rank, row->second, fmt::format("operators {}", rows.size())));
    events.push_back(complete_event(op.name, op.backward ? "backward" : "operator", record.rank, row->second,
                                    op.start, op.end));
  }
}

// Events of one row must nest, collectives in flight at the same time do not: each goes to the first row that is free.
void add_collectives(const ProfileRecord& record, Json& events) {
  std::vector<TraceTime> free_from;
  for (const comm::RecorderEntry& entry : record.collectives) {
    const TraceTime end = entry.started + std::chrono::duration_cast<TraceTime::duration>(
                                              std::chrono::duration<double>(entry.seconds));
    size_t row = 0;
    while (row < free_from.size() && free_from[row] > entry.started) ++row;
    const int row_id = kFirstCollectiveRow + static_cast<int>(row);
    if (row == free_from.size()) {
      free_from.push_back(end);
      events.push_back(
          name_event("thread_name", record.rank, row_id, fmt::format("collectives {}", row + 1)));
    }
    free_from[row] = end;
    Json event = complete_event(std::string(entry.op), "collective", record.rank, row_id, entry.started, end);
    event["args"] = {{"group", entry.group},
                     {"bytes_sent", entry.bytes_sent},
                     {"shape", entry.shape},
                     {"dtype", std::string(entry.dtype)},
                     {"sequence", entry.sequence},
                     {"group_sequence", entry.group_sequence},
                     {"waited_ms", entry.waited_seconds * 1e3}};
    events.push_back(std::move(event));
  }
}

}  // namespace

std::string chrome_trace(const ProfileRecord& record) {
  Json events = Json::array();
  events.push_back(name_event("process_name", record.rank, 0, fmt::format("rank {}", record.rank)));
  events.push_back(name_event("thread_name", record.rank, kStepRow, "steps"));
  events.push_back(name_event("thread_name", record.rank, kPhaseRow, "phases"));
  for (const ProfileRecord::Step& step : record.steps)
    events.push_back(complete_event(fmt::format("step {}", step.step), "step", record.rank, kStepRow,
                                    step.start, step.end));
  for (const ProfileRecord::Phase& phase : record.phases)
    events.push_back(complete_event(phase.name, "phase", record.rank, kPhaseRow, phase.start, phase.end));
  add_operators(record, events);
  add_collectives(record, events);
  return Json{{"displayTimeUnit", "ms"},
              {"otherData", {{"dropped_operators", record.num_dropped}}},
              {"traceEvents", std::move(events)}}
      .dump();
}

}  // namespace colossal::train
