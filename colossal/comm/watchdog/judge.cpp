// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/watchdog/judge.h"

#include "colossal/base/text.h"

namespace colossal::comm {
namespace {

using Link = RankStatus::Link;
using std::chrono::milliseconds;

// An endless loop outside any collective looks like work; this bounds the patience with it.
constexpr int kPatienceWithWork = 20;
// How long a rank may wait for one that has already left before that is taken for a mistake.
constexpr milliseconds kFarewell{2'000};

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::vector<int> which(const std::vector<RankStatus>& ranks, const auto& predicate) {
  std::vector<int> result;
  for (size_t r = 0; r < ranks.size(); r++)
    if (predicate(ranks[r])) result.push_back(static_cast<int>(r));
  return result;
}

std::string name(const std::vector<int>& ranks) {
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (size_t i = 0; i < ranks.size(); i++)
    text += fmt::format("{}{}", i == 0 ? "" : i + 1 == ranks.size() ? " and " : ", ", ranks[i]);
  return text;
}

// A rank's last words may be a heartbeat old. The others cannot have got further than one collective beyond it, so the step
// that they all have reached is where it died.
Verdict lost(const std::vector<RankStatus>& ranks, const std::vector<int>& who) {
  const RankStatus& first = ranks[who[0]];
  const RankStatus* witness = nullptr;
  for (const RankStatus& s : ranks)
    if (s.link == Link::alive && s.step >= 0 && (witness == nullptr || s.step < witness->step)) witness = &s;
  std::string where = describe_position(first);
  if (witness != nullptr && witness->step > first.step)
    where = fmt::format("at step {} (others in: {})", witness->step, witness->last);
  std::string reason = fmt::format("rank {} died {}", who[0], where);
  if (who.size() > 1) reason += "; so did " + name(std::vector<int>(who.begin() + 1, who.end()));
  return {ExitCode::peer_lost, reason, reason};
}

// Silence only counts as such well beyond the heartbeat, however short the timeout.
milliseconds silence(const JudgeOptions& options) {
  return std::clamp(options.timeout / 2, milliseconds(1'000), milliseconds(5'000));
}

// Whether the rank is a member of the group whose collective `pending` waits in; one that has said nothing of its groups may be.
bool is_member(const RankStatus& s, const RankStatus& pending) {
  return s.issued.empty() || pending.group.empty() || s.issued.contains(pending.group);
}

// Has it issued that collective?
bool has_come(const RankStatus& s, const RankStatus& pending) {
  const auto found = s.issued.find(pending.group);
  return found != s.issued.end() && found->second >= pending.sequence;
}

// How far a rank is in the group of the pending collective, where its last one was in another group.
std::string far_behind(const RankStatus& s, const RankStatus& pending) {
  const auto found = s.issued.find(pending.group);
  if (found == s.issued.end() || s.group == pending.group) return "";
  const std::string name = pending.group.substr(0, pending.group.find('.'));
  return found->second == 0 ? fmt::format("; none on {} yet", name)
                            : fmt::format("; on {} it is at #{}", name, found->second);
}

// The rank that has waited longest for one of `suspects`; -1: nobody waits for any of them.
int waits_for(const std::vector<RankStatus>& ranks, const std::vector<int>& suspects) {
  int longest = -1;
  for (size_t r = 0; r < ranks.size(); r++) {
    const RankStatus& s = ranks[r];
    const bool suspect = std::find(suspects.begin(), suspects.end(), static_cast<int>(r)) != suspects.end();
    if (s.link != Link::alive || !s.waiting || suspect) continue;
    const bool for_them = std::any_of(suspects.begin(), suspects.end(), [&](int who) {
      return is_member(ranks[who], s) && !has_come(ranks[who], s);
    });
    if (!for_them) continue;
    if (longest < 0 || s.wait_began < ranks[longest].wait_began) longest = static_cast<int>(r);
  }
  return longest;
}

std::string table(const std::vector<RankStatus>& ranks, const std::vector<int>& missing,
                  const RankStatus& pending, Clock::time_point now, const JudgeOptions& options) {
  std::string text;
  for (size_t r = 0; r < ranks.size(); r++) {
    const RankStatus& s = ranks[r];
    text += fmt::format("\n  rank {}: ", r);
    if (s.step >= 0) text += fmt::format("step {}, ", s.step);
    if (s.link == Link::absent)
      text += "never connected";
    else if (s.link == Link::left)
      text += "has left in order";
    else if (s.last.empty())
      text += "no collective yet";
    else if (s.link == Link::alive && now - s.heard > silence(options))
      text += fmt::format("last heard of {:.1f} s ago in or after {}", seconds(now - s.heard), s.last);
    else if (s.waiting)
      text += fmt::format("waits in {} for {:.1f} s", s.last, seconds(now - s.wait_began));
    else
      text += fmt::format("finished {} {:.1f} s ago", s.last, seconds(now - s.moved));
    if (!s.last.empty()) text += far_behind(s, pending);
    if (std::find(missing.begin(), missing.end(), static_cast<int>(r)) != missing.end())
      text += "   <- missing";
  }
  return text;
}

std::optional<Verdict> find_hang(const std::vector<RankStatus>& ranks, Clock::time_point now,
                                 const JudgeOptions& options) {
  auto alive = [](const RankStatus& s) { return s.link == Link::alive; };
  int oldest = -1;
  Clock::time_point moved = Clock::time_point::min();
  for (size_t r = 0; r < ranks.size(); r++) {
    if (!alive(ranks[r])) continue;
    moved = std::max(moved, ranks[r].moved);
    // What a silent rank last said may be long over: the others know better what is pending.
    if (ranks[r].waiting && now - ranks[r].heard <= silence(options) &&
        (oldest < 0 || ranks[r].wait_began < ranks[oldest].wait_began))
      oldest = static_cast<int>(r);
  }
  if (oldest < 0) return std::nullopt;
  const Clock::duration pending = now - std::max(ranks[oldest].wait_began, moved);
  if (pending <= options.timeout) return std::nullopt;

  const std::vector<int> silent =
      which(ranks, [&](const RankStatus& s) { return alive(s) && now - s.heard > silence(options); });
  const std::vector<int> outside = which(ranks, [&](const RankStatus& s) {
    return alive(s) && !s.waiting && now - s.heard <= silence(options);
  });
  const bool working = std::any_of(outside.begin(), outside.end(), [&](int r) {
    return now - ranks[r].active <= std::max(options.timeout, milliseconds(1'000));
  });
  if (silent.empty() && working && pending <= kPatienceWithWork * options.timeout) return std::nullopt;

  // Of the pending collectives the one that a suspect is missing from: others may wait for it in turn.
  std::vector<int> missing = silent.empty() ? outside : silent;
  const int witness = waits_for(ranks, missing);
  const RankStatus& held_up = ranks[witness >= 0 ? witness : oldest];
  if (witness >= 0)
    std::erase_if(missing,
                  [&](int r) { return !is_member(ranks[r], held_up) || has_come(ranks[r], held_up); });
  std::string why;
  if (!silent.empty()) {
    why = fmt::format("{} {} not respond (stopped, or the host is gone): missing from {}", name(missing),
                      missing.size() == 1 ? "does" : "do", held_up.last);
  } else if (!outside.empty()) {
    why =
        fmt::format("{} {} not come to {}", name(missing), missing.size() == 1 ? "does" : "do", held_up.last);
  } else {
    why = "all ranks wait, but not for each other: they have issued different collectives";
  }
  const std::string reason =
      fmt::format("hang: no collective has moved for {:.1f} s (comm.timeout_seconds = {:g}). {}",
                  seconds(pending), seconds(options.timeout), why);
  return Verdict{ExitCode::hang, reason, reason + table(ranks, missing, held_up, now, options)};
}

}  // namespace

std::string describe_position(const RankStatus& s) {
  const std::string where = s.step >= 0 ? fmt::format("at step {}", s.step) : "before the first step";
  return s.last.empty() ? where : fmt::format("{} (last: {})", where, s.last);
}

std::optional<Verdict> judge(const std::vector<RankStatus>& ranks, Clock::time_point now,
                             const JudgeOptions& options) {
  const std::vector<int> dead = which(ranks, [](const RankStatus& s) { return s.link == Link::lost; });
  if (!dead.empty()) return lost(ranks, dead);

  const std::vector<int> absent = which(ranks, [&](const RankStatus& s) {
    return s.link == Link::absent && now - s.link_changed > options.connect_timeout;
  });
  if (!absent.empty()) {
    const std::string reason = fmt::format("{} died while connecting", name(absent));
    return Verdict{ExitCode::peer_lost, reason, reason};
  }

  const std::vector<int> left = which(
      ranks, [&](const RankStatus& s) { return s.link == Link::left && now - s.link_changed > kFarewell; });
  const bool all_wait = std::all_of(ranks.begin(), ranks.end(), [&](const RankStatus& s) {
    return s.link == Link::left || (s.waiting && now - std::max(s.wait_began, s.moved) > kFarewell);
  });
  const std::vector<int> waiting =
      which(ranks, [](const RankStatus& s) { return s.link == Link::alive && s.waiting; });
  if (!left.empty() && all_wait && !waiting.empty()) {
    const std::string reason =
        fmt::format("{} left {}, but {} {} in {}", name(left), describe_position(ranks[left[0]]),
                    name(waiting), waiting.size() == 1 ? "waits" : "wait", ranks[waiting[0]].last);
    return Verdict{ExitCode::peer_lost, reason, reason};
  }
  return find_hang(ranks, now, options);
}

}  // namespace colossal::comm
