// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/watchdog/hub.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <climits>

#include "colossal/comm/launch/line_prefixer.h"
#include "colossal/comm/watchdog/dump.h"

namespace colossal::comm {

using std::chrono::milliseconds;
using Link = RankStatus::Link;

// After a connection broke: time for the failing rank's own words, and for the other dead of the same blow,
// to arrive.
constexpr milliseconds kSettle{150};
// A rank that lost a peer may notice before we do; after this long we believe that it is the first to fail.
constexpr milliseconds kEcho{1'500};
// A wrong request is found by all ranks alike, and rank 0 says it: time for it and the others to get there.
constexpr milliseconds kAlike{150};
constexpr milliseconds kSignOfLife{1'000};
// Our own thread slept longer than this: we were stopped (Ctrl-Z), not the others.
constexpr milliseconds kOwnGap{1'000};

namespace {

void print_to_stderr(const std::string& text) {
  const bool terminal = isatty(STDERR_FILENO) == 1;
  write_all(STDERR_FILENO, fmt::format("{}colossal: {}\n", terminal ? "\r\033[K" : "", text));
}

}  // namespace

Hub::Hub(Options options)
    : options_(std::move(options)), listener_(listen_on(options_.address, 0)), port_(listener_.port) {
  if (!options_.print) options_.print = print_to_stderr;
  set_nonblocking(listener_.socket.fd());
  now_ = last_sign_ = Clock::now();
  RankStatus fresh;
  fresh.wait_began = fresh.heard = fresh.moved = fresh.active = fresh.link_changed = now_;
  ranks_.assign(options_.world_size, fresh);
  thread_ = std::thread([this] { loop(); });
}

Hub::~Hub() {
  stop_ = true;
  thread_.join();
}

void Hub::loop() {
  pthread_setname_np(pthread_self(), "watchdog-hub");
  while (!stop_) {
    std::vector<pollfd> fds = {{listener_.socket.fd(), POLLIN, 0}};
    for (Member& m : members_)
      fds.push_back({m.channel.fd(), static_cast<short>(POLLIN | (m.channel.backlog() ? POLLOUT : 0)), 0});
    poll(fds.data(), fds.size(), static_cast<int>(options_.tick.count()));
    const Clock::time_point before = std::exchange(now_, Clock::now());
    if (now_ - before > kOwnGap) forgive(now_ - before);
    accept_members();
    for (Member& m : members_) {
      m.channel.flush();
      m.channel.receive();
      while (std::optional<Json> message = m.channel.next()) handle(m, *message);
    }
    drop_closed();
    decide();
    if (now_ - last_sign_ > kSignOfLife) {
      last_sign_ = now_;
      for (Member& m : members_)
        if (m.rank >= 0 && !m.channel.backlog()) m.channel.send({{"alive", true}});
    }
  }
  for (Member& m : members_)
    if (m.rank >= 0) m.channel.send({{"bye", true}});
}

void Hub::accept_members() {
  int fd;
  while ((fd = accept4(listener_.socket.fd(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
    Member member;
    member.channel = LineChannel(Socket(fd));
    member.since = now_;
    members_.push_back(std::move(member));
  }
}

void Hub::handle(Member& member, const Json& message) try {
  if (member.rank < 0) {
    const int rank = message.value("rank", -1);
    if (message.value("hello", "") != options_.token || rank < 0 || rank >= options_.world_size ||
        ranks_[rank].link != Link::absent) {
      member.channel.close();
      return;
    }
    member.rank = rank;
    RankStatus& s = ranks_[rank];
    s.link = Link::alive;
    s.link_changed = s.heard = s.moved = s.active = now_;
    return;
  }
  ranks_[member.rank].heard = now_;
  if (message.contains("beat")) heartbeat(member, message["beat"]);
  if (message.contains("fail")) failed(member, message);
  if (message.contains("decided")) {  // by the other hub
    decided_ = true;
    if (!first_failure_) first_failure_ = message.value("decided", "");
    if (speaker_ < 0) speaker_ = message.value("speaker", -1);
  }
  if (message.contains("bye")) {
    ranks_[member.rank].link = Link::left;
    ranks_[member.rank].link_changed = now_;
  }
} catch (const Json::exception&) {
  member.channel.close();  // not one of ours, or out of its mind
}

void Hub::heartbeat(Member& member, const Json& beat) {
  RankStatus& s = ranks_[member.rank];
  s.step = beat.value("step", int64_t{-1});
  s.last = beat.value("last", "");
  s.group = beat.value("group", "");
  s.sequence = beat.value("sequence", uint64_t{0});
  s.issued = beat.value("issued", std::map<std::string, uint64_t>{});
  if (const uint64_t moves = beat.value("moves", uint64_t{0}); moves != member.moves) {
    member.moves = moves;
    s.moved = now_;
  }
  const int64_t waited = beat.value("waited_ms", int64_t{-1});
  s.waiting = waited >= 0;
  if (s.waiting) s.wait_began = now_ - milliseconds(waited);
  if (beat.value("active", false)) s.active = now_;
}

// A rank ends with an error. The first one speaks and is announced; those that only repeat it are told to
// keep quiet.
void Hub::failed(Member& member, const Json& message) {
  const auto code = static_cast<ExitCode>(message.value("code", 1));
  const bool echo = code == ExitCode::peer_lost, alike = found_by_all_ranks(code);
  const Failure failure{member.rank, message.value("fail", ""), echo,
                        now_ + (alike && member.rank == 0 ? kAlike : kEcho)};
  if (decided_) {
    // Both hubs may answer the rank that speaks: they must say the same.
    const bool own_words = !echo && failure.text != first_failure_;
    if (on_duty()) member.channel.send({{"speak", own_words || member.rank == speaker_}});
  } else if (echo || alike) {
    waiting_.push_back(failure);
  } else if (on_duty()) {
    let_speak(failure);
  }
}

// Of those that wait: once one of them has waited long enough, or all ranks have found the request wrong. Null: not yet.
const Hub::Failure* Hub::first_to_fail() const {
  const auto alive = std::ranges::count(ranks_, Link::alive, &RankStatus::link);
  const bool all = std::ranges::count(waiting_, false, &Failure::echo) == alive;
  const bool late = std::ranges::any_of(waiting_, [&](const Failure& f) { return f.until < now_; });
  if (waiting_.empty() || !(all || late)) return nullptr;
  return &*std::ranges::min_element(waiting_, {}, [](const Failure& f) { return f.echo ? INT_MAX : f.rank; });
}

void Hub::let_speak(const Failure& first) {
  first_failure_ = first.text;
  speaker_ = first.rank;
  for (Member& m : members_)
    if (m.rank == first.rank) m.channel.send({{"speak", true}});
  const std::string reason =
      fmt::format("rank {} failed {}: {}", first.rank, describe_position(ranks_[first.rank]),
                  first.text.substr(0, first.text.find('\n')));
  announce({.code = ExitCode::peer_lost, .reason = reason, .report = reason, .speaker = first.rank});
}

void Hub::drop_closed() {
  for (Member& m : members_) {
    if (m.rank < 0 && now_ - m.since > milliseconds(2'000)) m.channel.close();
    if (m.channel.open() || m.rank < 0 || ranks_[m.rank].link != Link::alive) continue;
    ranks_[m.rank].link = Link::lost;
    ranks_[m.rank].link_changed = now_;
    if (!lost_) lost_ = now_;
  }
  std::erase_if(members_, [](const Member& m) { return !m.channel.open(); });
}

void Hub::forgive(Clock::duration gap) {
  for (RankStatus& s : ranks_)
    for (Clock::time_point* t : {&s.wait_began, &s.heard, &s.moved, &s.active, &s.link_changed}) *t += gap;
}

bool Hub::on_duty() const {
  if (options_.own_rank == 0) return true;
  const RankStatus& chief = ranks_[0];
  return chief.link == Link::lost || chief.link == Link::left ||
         now_ - chief.heard > std::min(options_.judge.timeout, milliseconds(5'000));
}

void Hub::decide() {
  if (decided_ || !on_duty() || (lost_ && now_ - *lost_ < kSettle)) return;
  if (std::optional<Verdict> verdict = judge(ranks_, now_, options_.judge)) {
    options_.print(verdict->report + where_to_look(verdict->report));
    announce(*verdict);
  } else if (const Failure* first = first_to_fail()) {
    let_speak(*first);
  }
}

std::string Hub::where_to_look(const std::string& report) const {
  if (options_.recorder_folder.empty()) return "";
  const bool lines = report.find('\n') != std::string::npos;
  return (lines ? "\n  flight recorders: " : ". Flight recorders: ") +
         recorder_paths(options_.recorder_folder);
}

void Hub::announce(const Verdict& verdict) {
  decided_ = true;
  // Where a rank has said itself what is wrong, nobody asks what the others were doing.
  const Json message = {{"verdict", verdict.reason},
                        {"dump", verdict.speaker < 0},
                        {"speaker", verdict.speaker},
                        {"code", static_cast<int>(verdict.code)},
                        {"first", first_failure_.value_or("")}};
  for (Member& m : members_) {
    if (m.rank < 0 || m.rank == verdict.speaker) continue;
    for (const Failure& f : waiting_)
      if (f.rank == m.rank && !f.echo && f.text != first_failure_) m.channel.send({{"speak", true}});
    m.channel.send(message);
  }
}

}  // namespace colossal::comm
