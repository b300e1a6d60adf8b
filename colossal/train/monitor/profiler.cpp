// SPDX-License-Identifier: Apache-2.0
#include "colossal/train/monitor/profiler.h"

#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>

#include "colossal/base/file.h"
#include "colossal/train/monitor/profile_record.h"

namespace colossal::train {
namespace profiling {  // named: members of StepProfiler::State have these types

using ProfileClock = std::chrono::steady_clock;

constexpr std::string_view kSlotName = "colossal step profiler";

// Slots are known by an address since torch 2.13, before by a number (torch's own are below ten).
template <class Kind>
constexpr Kind own_slot() {
  if constexpr (std::is_enum_v<Kind>)
    return static_cast<Kind>(200);
  else
    return Kind(&kSlotName);
}
constexpr auto kProfilerSlot = own_slot<c10::DebugInfoKind>();

// Travels with the thread-local state, so that autograd's own threads find their rank.
struct OperatorLog : c10::DebugInfoBase {
  explicit OperatorLog(size_t max_events) : max_events(max_events) {}
  const size_t max_events;
  std::mutex mutex;
  std::vector<ProfileRecord::Operator> operators;
  int64_t num_dropped = 0;
};

struct OperatorStart : at::ObserverContext {
  ProfileClock::time_point time = ProfileClock::now();
};

std::unique_ptr<at::ObserverContext> operator_begins(const at::RecordFunction&) {
  return std::make_unique<OperatorStart>();
}

void operator_ends(const at::RecordFunction& function, at::ObserverContext* context) {
  const auto now = ProfileClock::now();
  auto* log = static_cast<OperatorLog*>(c10::ThreadLocalDebugInfo::get(kProfilerSlot));
  if (log == nullptr || context == nullptr) return;
  std::lock_guard lock(log->mutex);
  if (log->operators.size() >= log->max_events) {
    ++log->num_dropped;
    return;
  }
  log->operators.push_back({.name = function.name(),
                            .thread = at::RecordFunction::currentThreadId(),
                            .backward = function.scope() == at::RecordScope::BACKWARD_FUNCTION,
                            .start = static_cast<OperatorStart*>(context)->time,
                            .end = now});
}

// While it lives, the operators of this thread are recorded.
class Recording {
 public:
  explicit Recording(std::shared_ptr<OperatorLog> log)
      : slot_(kProfilerSlot, std::move(log)),
        handle_(at::addThreadLocalCallback(
            at::RecordFunctionCallback(&operator_begins, &operator_ends)
                .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}))) {}
  Recording(const Recording&) = delete;
  ~Recording() { at::removeCallback(handle_); }

 private:
  c10::DebugInfoGuard slot_;
  at::CallbackHandle handle_;
};

}  // namespace profiling

using namespace profiling;

struct StepProfiler::State {
  std::shared_ptr<comm::World> world;
  ProfileOptions options;
  ProfileRecord record = {};
  std::shared_ptr<OperatorLog> log = {};
  int64_t collectives_before = 0;           // this step
  std::optional<Recording> recording = {};  // set inside a chosen step
  bool phase_open = false;
  bool finished = false;
  std::string summary = {};
};

StepProfiler::StepProfiler(const Context& context, ProfileOptions options)
    : state_(new State{.world = context.world, .options = std::move(options)}) {
  state_->record.rank = context.rank();
}

StepProfiler::StepProfiler(StepProfiler&&) noexcept = default;
StepProfiler::~StepProfiler() = default;

void StepProfiler::begin_step(int64_t step) {
  State& s = *state_;
  const int64_t offset = step - s.options.first_step;
  if (s.finished || offset < 0 || offset >= s.options.num_steps) return;
  if (!s.log) s.log = std::make_shared<OperatorLog>(s.options.max_events);
  s.collectives_before = s.world->recorder().total().calls;
  s.record.steps.push_back({.step = step, .start = ProfileClock::now(), .end = {}});
  s.recording.emplace(s.log);
}

void StepProfiler::phase(std::string_view name) {
  State& s = *state_;
  if (!s.recording) return;
  const auto now = ProfileClock::now();
  if (std::exchange(s.phase_open, true)) s.record.phases.back().end = now;
  s.record.phases.push_back({.name = std::string(name), .start = now, .end = now});
}

void StepProfiler::end_step() {
  State& s = *state_;
  if (!s.recording) return;
  s.recording.reset();
  const auto now = ProfileClock::now();
  if (std::exchange(s.phase_open, false)) s.record.phases.back().end = now;
  s.record.steps.back().end = now;
  // Once per step: the recorder keeps only the newest.
  int64_t missing = s.world->recorder().total().calls - s.collectives_before;
  for (comm::RecorderEntry& entry : s.world->recorder().entries()) {
    if (entry.started < s.record.steps.back().start) continue;
    --missing;
    if (entry.seconds >= 0) s.record.collectives.push_back(std::move(entry));
  }
  s.record.num_dropped_collectives += std::max<int64_t>(0, missing);
  if (s.record.steps.back().step == s.options.first_step + s.options.num_steps - 1) finish();
}

void StepProfiler::finish() {
  State& s = *state_;
  if (s.finished || s.record.steps.empty()) return;
  s.finished = true;
  s.record.operators = std::move(s.log->operators);
  s.record.num_dropped_operators = s.log->num_dropped;
  create_folders(s.options.folder);
  write_file_durably(path(), chrome_trace(s.record));
  s.summary = profile_summary(s.record);
  if (s.record.rank == 0) write_file_durably(s.options.folder / "summary.txt", s.summary);
  s.record = {.rank = s.record.rank};
}

bool StepProfiler::finished() const { return state_->finished; }
const std::string& StepProfiler::summary() const { return state_->summary; }

std::filesystem::path StepProfiler::path() const {
  return state_->options.folder / fmt::format("rank-{:05}.json", state_->world->rank());
}

}  // namespace colossal::train
