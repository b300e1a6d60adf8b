// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/work.h"

#include "colossal/base/error.h"
#include "colossal/comm/work_state.h"

namespace colossal::comm {

namespace {

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What the watchdog sees while the backend has the rank's thread.
class BlockedScope {
 public:
  BlockedScope(Recorder& recorder, uint64_t sequence) : recorder_(recorder) {
    recorder_.blocked_in(sequence);
  }
  ~BlockedScope() { recorder_.blocked_in(0); }

 private:
  Recorder& recorder_;
};

}  // namespace

void guarded(const Work::State& work, const std::function<void()>& call) {
  Group::State& group = *work.group;
  const auto where = [&] {
    return fmt::format("{} #{} of group \"{}\" on rank {}", work.op, work.group_sequence, group.name,
                       group.ranks[group.index]);
  };
  if (group.failed()) {
    throw CommError(
        fmt::format("{}: the group is dead since an earlier failure: {}", where(), group.cause()));
  }
  const BlockedScope blocked(*group.recorder, work.record);
  try {
    call();
  } catch (const std::exception& error) {
    // An abort from outside is the cause; what the backend says about it is only the effect.
    const std::string cause =
        group.failed() ? group.cause() : fmt::format("{} failed: {}", where(), first_line(error.what()));
    const std::string message = group.failed() ? fmt::format("{}: {}", where(), cause) : cause;
    group.fail(cause);
    throw CommError(message);
  }
}

void Work::State::wait() {
  const auto begin = std::chrono::steady_clock::now();
  if (pending != nullptr) {
    guarded(*this, [&] { std::exchange(pending, nullptr)->wait(); });
  }
  if (finish) finish();
  const double waited = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  group->recorder->end(record, waited);
}

Work::Work() = default;
Work::Work(std::unique_ptr<State> state) : state_(std::move(state)) {}
Work::Work(Work&&) noexcept = default;

Work& Work::operator=(Work&& other) noexcept {
  Work dropped(std::move(*this));
  state_ = std::move(other.state_);
  return *this;
}

Work::~Work() {
  if (state_ == nullptr) return;
  try {
    state_->wait();
  } catch (const std::exception&) {
    // Destructors do not throw; the group is dead now, so its next call tells.
  }
}

void Work::wait() {
  if (const auto state = std::move(state_)) state->wait();
}

}  // namespace colossal::comm
