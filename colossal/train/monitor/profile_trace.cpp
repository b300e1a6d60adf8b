// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/json.h"
#include "colossal/train/monitor/profile_record.h"

namespace colossal::train {
namespace {

using TraceTime = ProfileRecord::Time;

constexpr int kStepRow = 0, kPhaseRow = 1, kFirstThreadRow = 10, kFirstCollectiveRow = 100;

// Written as text at once: a million events as a tree of JSON values would take gigabytes.
class TraceText {
 public:
  explicit TraceText(int rank) : rank_(rank) {}

  void span(std::string_view name, std::string_view category, int row, TraceTime start, TraceTime end,
            const Json& args = {}) {
    begin_event();
    append(R"({{"ph":"X","name":{},"cat":"{}","pid":{},"tid":{},"ts":{},"dur":{})", Json(name).dump(),
           category, rank_, row, microseconds(start.time_since_epoch()),
           microseconds(std::max(end - start, TraceTime::duration(0))));
    if (!args.is_null()) append(R"(,"args":{})", args.dump());
    text_ += '}';
  }

  void label(std::string_view what, int row, const std::string& name) {
    begin_event();
    append(R"({{"ph":"M","name":"{}","pid":{},"tid":{},"args":{{"name":{}}}}})", what, rank_, row,
           Json(name).dump());
  }

  std::string finish(const Json& other) {
    append("\n],\n\"displayTimeUnit\":\"ms\",\"otherData\":{}}}\n", other.dump());
    return std::move(text_);
  }

 private:
  template <class... Arguments>
  void append(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Arguments>(arguments)...);
  }
  void begin_event() { text_ += std::exchange(first_, false) ? "\n" : ",\n"; }
  // Whole nanoseconds: events that nest still do after rounding.
  static std::string microseconds(TraceTime::duration d) {
    const int64_t ns = std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
    return fmt::format("{}.{:03}", ns / 1000, ns % 1000);
  }

  int rank_;
  bool first_ = true;
  std::string text_ = "{\"traceEvents\":[";
};

void add_operators(const ProfileRecord& record, TraceText& trace) {
  std::map<uint64_t, int> rows;
  for (const ProfileRecord::Operator& op : record.operators) {
    const auto [row, fresh] = rows.try_emplace(op.thread, kFirstThreadRow + static_cast<int>(rows.size()));
    if (fresh) trace.label("thread_name", row->second, fmt::format("operators {}", rows.size()));
    trace.span(op.name, op.backward ? "backward" : "operator", row->second, op.start, op.end);
  }
}

// Events of one row must nest, collectives in flight at the same time do not: each goes to the first row that is free.
void add_collectives(const ProfileRecord& record, TraceText& trace) {
  std::vector<TraceTime> free_from;
  for (const comm::RecorderEntry& entry : record.collectives) {
    const TraceTime end = finished(entry);
    size_t row = 0;
    while (row < free_from.size() && free_from[row] > entry.started) ++row;
    const int row_id = kFirstCollectiveRow + static_cast<int>(row);
    if (row == free_from.size()) {
      free_from.push_back(end);
      trace.label("thread_name", row_id, fmt::format("collectives {}", row + 1));
    }
    free_from[row] = end;
    trace.span(entry.op, "collective", row_id, entry.started, end,
               {{"axes", entry.group},
                {"bytes_sent", entry.bytes_sent},
                {"shape", entry.shape},
                {"dtype", std::string(entry.dtype)},
                {"sequence", entry.sequence},
                {"group_sequence", entry.group_sequence},
                {"waited_ms", entry.waited_seconds * 1e3}});
  }
}

}  // namespace

ProfileRecord::Time finished(const comm::RecorderEntry& entry) {
  return entry.started +
         std::chrono::duration_cast<TraceTime::duration>(std::chrono::duration<double>(entry.seconds));
}

std::string chrome_trace(const ProfileRecord& record) {
  TraceText trace(record.rank);
  trace.label("process_name", 0, fmt::format("rank {}", record.rank));
  trace.label("thread_name", kStepRow, "steps");
  trace.label("thread_name", kPhaseRow, "phases");
  for (const ProfileRecord::Step& step : record.steps)
    trace.span(fmt::format("step {}", step.step), "step", kStepRow, step.start, step.end);
  for (const ProfileRecord::Phase& phase : record.phases)
    trace.span(phase.name, "phase", kPhaseRow, phase.start, phase.end);
  add_operators(record, trace);
  add_collectives(record, trace);
  return trace.finish({{"dropped_operators", record.num_dropped_operators},
                       {"dropped_collectives", record.num_dropped_collectives}});
}

}  // namespace colossal::train
