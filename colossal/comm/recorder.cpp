// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/recorder.h"

namespace colossal::comm {

int Recorder::join(std::string key) {
  std::lock_guard lock(mutex_);
  groups_.push_back({std::move(key), 0});
  return static_cast<int>(groups_.size()) - 1;
}

uint64_t Recorder::begin(RecorderEntry entry) {
  std::lock_guard lock(mutex_);
  if (entry.group_id >= 0) groups_[entry.group_id].newest = entry.group_sequence;
  entry.sequence = next_++;
  ++moves_;
  const uint64_t sequence = entry.sequence;
  Total& total = totals_[{entry.group, entry.op}];
  ++total.calls;
  total.bytes_sent += entry.bytes_sent;
  if (ring_.empty()) ring_.resize(capacity_);
  ring_[sequence % capacity_] = std::move(entry);
  return sequence;
}

void Recorder::end(uint64_t sequence, double waited_seconds) {
  const auto now = std::chrono::steady_clock::now();
  std::lock_guard lock(mutex_);
  ++moves_;
  // Gone: `capacity` younger calls began before this one ended, or reset() came in between.
  if (ring_.empty() || ring_[sequence % capacity_].sequence != sequence) return;
  RecorderEntry& entry = ring_[sequence % capacity_];
  entry.seconds = std::chrono::duration<double>(now - entry.started).count();
  entry.waited_seconds = waited_seconds;
  Total& total = totals_[{entry.group, entry.op}];
  total.seconds += entry.seconds;
  total.waited_seconds += waited_seconds;
}

std::map<std::pair<std::string, std::string>, Recorder::Total> Recorder::totals() const {
  std::lock_guard lock(mutex_);
  std::map<std::pair<std::string, std::string>, Total> result;
  for (const auto& [key, total] : totals_) result[{std::string(key.second), key.first}] = total;
  return result;
}

Recorder::Total Recorder::total() const {
  std::lock_guard lock(mutex_);
  Total sum;
  for (const auto& [key, total] : totals_) {
    sum.calls += total.calls;
    sum.bytes_sent += total.bytes_sent;
    sum.seconds += total.seconds;
    sum.waited_seconds += total.waited_seconds;
  }
  return sum;
}

Recorder::Progress Recorder::progress() const {
  std::lock_guard lock(mutex_);
  Progress progress{
      .moves = moves_, .blocked = blocked_.load(std::memory_order_relaxed), .last = {}, .groups = groups_};
  const uint64_t sequence = progress.blocked != 0 ? progress.blocked : next_ - 1;
  if (!ring_.empty() && sequence >= first_ && ring_[sequence % capacity_].sequence == sequence)
    progress.last = ring_[sequence % capacity_];
  return progress;
}

std::vector<RecorderEntry> Recorder::entries() const {
  std::lock_guard lock(mutex_);
  std::vector<RecorderEntry> result;
  const uint64_t oldest = std::max(first_, next_ > capacity_ ? next_ - capacity_ : 0);
  for (uint64_t sequence = oldest; sequence < next_; ++sequence)
    result.push_back(ring_[sequence % capacity_]);
  return result;
}

Json Recorder::dump() const {
  const auto now = std::chrono::steady_clock::now();
  Json list = Json::array();
  for (const RecorderEntry& entry : entries()) {
    list.push_back({{"sequence", entry.sequence},
                    {"group_sequence", entry.group_sequence},
                    {"op", std::string(entry.op)},
                    {"group", entry.group},
                    {"shape", entry.shape},
                    {"dtype", std::string(entry.dtype)},
                    {"bytes_sent", entry.bytes_sent},
                    {"started_seconds_ago", std::chrono::duration<double>(now - entry.started).count()},
                    {"finished", entry.seconds >= 0},
                    {"seconds", entry.seconds},
                    {"waited_seconds", entry.waited_seconds}});
  }
  return list;
}

void Recorder::reset() {
  std::lock_guard lock(mutex_);
  ring_.clear();
  totals_.clear();
  first_ = next_;
}

}  // namespace colossal::comm
