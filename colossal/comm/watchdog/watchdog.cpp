// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/watchdog/watchdog.h"

#include <fmt/ranges.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <ctime>

#include "colossal/base/error.h"
#include "colossal/comm/watchdog/dump.h"

namespace colossal::comm {

using std::chrono::milliseconds;

namespace {

// Share of one core above which a rank counts as working.
constexpr double kWorkingShare = 0.05;
// A connection that broke is the hub's own exit until its goodbye had time to arrive.
constexpr milliseconds kOrphan{1'000};
constexpr milliseconds kReport{3'000};
constexpr milliseconds kDump{1'000};

double clock_seconds(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

std::string describe(const RecorderEntry& e) {
  return fmt::format("{} #{} on {} [{}]", e.op, e.group_sequence, e.group, fmt::join(e.shape, ", "));
}

}  // namespace

Watchdog::Watchdog(Options options)
    : options_(std::move(options)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  const Clock::time_point deadline = Clock::now() + options_.connect_timeout;
  for (const Address& address : options_.hubs) {
    Hubward hub;
    hub.channel = LineChannel(connect_to(address.host, address.port, deadline));
    hub.channel.send({{"hello", options_.token}, {"rank", options_.rank}});
    hub.rank = address.rank;
    hub.heard = Clock::now();
    hubs_.push_back(std::move(hub));
  }
  thread_ = std::thread([this] { loop(); });
}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    // A World that goes because an exception flies past it did not end in order.
    if (std::uncaught_exceptions() > 0 && !verdict_ && !speak_ && !outgoing_)
      outgoing_ = Json{{"fail", "an exception ended it"}, {"code", static_cast<int>(ExitCode::peer_lost)}};
    stop_ = true;
  }
  wake();
  thread_.join();
}

void Watchdog::set_step(int64_t step) {
  step_.store(step, std::memory_order_relaxed);
  const Clock::time_point now = Clock::now();
  if (now - last_step_sent_ < milliseconds(10)) return;
  last_step_sent_ = now;
  beat_now_ = true;
  wake();
}

void Watchdog::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = ::write(wake_.fd(), &one, sizeof(one));
}

bool Watchdog::report(const std::string& message, ExitCode code) {
  std::unique_lock lock(mutex_);
  // By a verdict everything is said, unless this rank has words of its own.
  const auto is_said = [&] {
    return verdict_ && (code == ExitCode::peer_lost || message == verdict_->report);
  };
  if (is_said()) return false;
  speak_.reset();
  outgoing_ = Json{{"fail", message}, {"code", static_cast<int>(code)}};
  lock.unlock();
  wake();
  lock.lock();
  changed_.wait_for(lock, kReport, [&] { return speak_.has_value() || is_said(); });
  if (speak_) return *speak_;
  return !verdict_;
}

std::optional<Verdict> Watchdog::verdict() const {
  std::lock_guard lock(mutex_);
  return verdict_;
}

void Watchdog::loop() {
  pthread_setname_np(pthread_self(), "watchdog");
  for (bool stop = false; !stop;) {
    std::vector<pollfd> fds = {{wake_.fd(), POLLIN, 0}};
    for (Hubward& h : hubs_)
      if (h.channel.open())
        fds.push_back({h.channel.fd(), static_cast<short>(POLLIN | (h.channel.backlog() ? POLLOUT : 0)), 0});
    poll(fds.data(), fds.size(), static_cast<int>(options_.tick.count()));
    uint64_t wakes;
    [[maybe_unused]] const ssize_t n = ::read(wake_.fd(), &wakes, sizeof(wakes));
    for (Hubward& h : hubs_) listen(h);
    beat();
    watch_the_hubs();
    std::optional<Json> outgoing;
    {
      std::lock_guard lock(mutex_);
      stop = stop_;
      outgoing = std::exchange(outgoing_, std::nullopt);
    }
    if (outgoing)
      for (Hubward& h : hubs_) h.channel.send(*outgoing);
    // The main thread is stuck where abort() does not reach.
    if (!stop && deadline_ && Clock::now() > *deadline_) _exit(static_cast<int>(verdict()->code));
  }
  for (Hubward& h : hubs_) h.channel.send({{"bye", true}});
}

void Watchdog::listen(Hubward& hub) {
  hub.channel.flush();
  hub.channel.receive();
  while (std::optional<Json> message = hub.channel.next()) {
    hub.heard = Clock::now();
    if (message->contains("bye")) hub.closed_in_order = true;
    if (message->contains("speak")) {
      std::lock_guard lock(mutex_);
      speak_ = message->value("speak", true);
      changed_.notify_all();
    }
    if (message->contains("verdict"))
      pass({static_cast<ExitCode>(message->value("code", 10)), message->value("verdict", ""),
            message->value("first", ""), message->value("speaker", -1)},
           message->value("dump", false) ? Dump::yes : Dump::no);
  }
}

void Watchdog::pass(Verdict verdict, Dump dump) {
  if (this->verdict()) return;
  // First, while the recorder still shows what this rank waits for.
  const std::filesystem::path path = recorder_path(options_.recorder_folder, options_.rank);
  if (dump == Dump::yes && !options_.recorder_folder.empty() &&
      dump_recorder(path, {options_.rank, step_.load(std::memory_order_relaxed), verdict.reason},
                    *options_.recorder, kDump)) {
    verdict.reason += fmt::format(". Flight recorder: {}", path.string());
  }
  {
    std::lock_guard lock(mutex_);
    verdict_ = verdict;
    changed_.notify_all();
  }
  for (Hubward& h : hubs_) h.channel.send({{"decided", verdict.report}, {"speaker", verdict.speaker}});
  deadline_ = Clock::now() + options_.grace;
  if (options_.abort) options_.abort(verdict.reason);
}

void Watchdog::beat() {
  const Clock::time_point now = Clock::now();
  if (!beat_now_.exchange(false) && now - last_beat_ < options_.tick) return;
  const Recorder::Progress progress = options_.recorder->progress();
  // Sampled, so that a collective of a microsecond pays for no clock: the wait is known to one tick.
  if (progress.blocked != blocked_) blocked_since_ = now;
  blocked_ = progress.blocked;
  const double waited = std::chrono::duration<double>(now - blocked_since_).count();
  waited_seconds_ = blocked_ != 0 ? waited : -1;
  Json issued = Json::object();
  for (const Recorder::GroupProgress& group : progress.groups) issued[group.key] = group.newest;
  const bool known = progress.last && progress.last->group_id >= 0;
  const Json message = {{"beat",
                         {{"step", step_.load(std::memory_order_relaxed)},
                          {"moves", progress.moves},
                          {"last", progress.last ? describe(*progress.last) : ""},
                          {"group", known ? progress.groups[progress.last->group_id].key : ""},
                          {"sequence", known ? progress.last->group_sequence : 0},
                          {"issued", issued},
                          {"waited_ms", blocked_ != 0 ? static_cast<int64_t>(waited * 1e3) : -1},
                          {"active", work_was_done()}}}};
  last_beat_ = now;
  for (Hubward& h : hubs_)
    if (!h.channel.backlog()) h.channel.send(message);
}

// Processor time of all threads but this one, and blocks read or written, since the last call.
bool Watchdog::work_was_done() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const double work = clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - clock_seconds(CLOCK_THREAD_CPUTIME_ID);
  const int64_t blocks = usage.ru_inblock + usage.ru_oublock + usage.ru_majflt;
  const double elapsed = std::chrono::duration<double>(Clock::now() - last_beat_).count();
  const bool active = work - work_seconds_ > kWorkingShare * elapsed || blocks != disk_blocks_;
  work_seconds_ = work;
  disk_blocks_ = blocks;
  return active;
}

// The verdicts that no hub can give any more.
void Watchdog::watch_the_hubs() {
  if (deadline_ || hubs_.empty()) return;
  const Clock::time_point now = Clock::now();
  std::string dead;
  bool open = false, silent = true;
  for (const Hubward& h : hubs_) {
    open |= h.channel.open() && !h.closed_in_order;
    silent &= now - h.heard > std::max(options_.timeout, milliseconds(5'000));
    if (!h.channel.open() && !h.closed_in_order)
      dead += fmt::format("{}rank {}", dead.empty() ? "" : " and ", h.rank);
  }
  const int64_t step = step_.load(std::memory_order_relaxed);
  if (!open && !dead.empty()) {
    if (!orphaned_) orphaned_ = now;
    if (now - *orphaned_ > kOrphan)
      pass({ExitCode::peer_lost, fmt::format("{} died at step {}", dead, step), ""}, Dump::yes);
  } else if (open && silent && waited_seconds_ * 1e3 > static_cast<double>(options_.timeout.count())) {
    pass({ExitCode::hang,
          fmt::format("hang: no collective has moved for {:.1f} s, and the ranks that keep watch do not "
                      "respond",
                      waited_seconds_),
          ""},
         Dump::yes);
  }
}

}  // namespace colossal::comm
