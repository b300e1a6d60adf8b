// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/gloo/wire.h"

#include <bit>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <thread>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "colossal/base/error.h"
#include "colossal/comm/store_state.h"

namespace colossal::comm {

namespace {

// Gloo writes to sockets without MSG_NOSIGNAL: that a peer has closed its end must be an error of the call, not the end of this process.
void ignore_broken_pipes() {
  struct sigaction now = {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

// A message on its way, and the stream it belongs to.
class Wire::Ticket {
 public:
  c10::intrusive_ptr<c10d::Work> work;
  Header header = {};
  int peer = 0;
  bool receives = false;
  bool in_mail = false;  // arrives as a header with what it carries
};

namespace {

constexpr int64_t kHeaderTag = 0;  // of every header with its short payload
constexpr int64_t kHeaderRoom = sizeof(Header) + Wire::kInline;
// Receivers of headers that wait at each peer: one for what is on its way, one for what comes next.
constexpr size_t kNumReady = 2;
// Of a wait. Twice as long at most.
constexpr std::chrono::milliseconds kPatience{100};

bool is_inline(const Wire::Stream& stream) { return stream.bytes <= Wire::kInline; }
std::string claim_key(int index) { return fmt::format("claim/{}", index); }

Header header_at(const char* room) {
  Header header;
  std::memcpy(&header, room, sizeof(Header));
  return header;
}

}  // namespace

struct Wire::Impl {
  // A header on its way here.
  struct Arrival {
    char* room;
    std::shared_ptr<Ticket> ticket;
    bool here = false;  // and waited for
  };
  explicit Impl(const Endpoint& e)
      : store(e.store), ranks(e.ranks), index(e.index), timeout(e.timeout), mail(e.ranks.size()) {}
  ~Impl() {
    {
      std::lock_guard lock(mutex);
      stop = true;
    }
    stopping.notify_all();
    if (alarm.joinable()) alarm.join();
  }

  std::vector<std::unique_ptr<char[]>>
      rooms;                      // of all headers: they outlive Gloo and its thread, which writes to them
  std::vector<char*> free_rooms;  // of headers that have come or gone: their pages are there
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  Store store;
  std::vector<int> ranks;
  int index;
  std::chrono::milliseconds timeout;
  History history;
  std::vector<std::deque<Arrival>> mail;  // by peer, in the order of the headers
  char* room() {
    if (free_rooms.empty()) return rooms.emplace_back(new char[kHeaderRoom]).get();
    char* last = free_rooms.back();
    free_rooms.pop_back();
    return last;
  }

  // That of mine.peer, if it has one.
  std::optional<Claim> exchange_claims(const Claim& mine) {
    try {
      store.set(claim_key(index), std::string(reinterpret_cast<const char*>(&mine), sizeof(Claim)));
      const std::string key = claim_key(mine.peer);
      if (!store.has(key)) return std::nullopt;
      const std::string bytes = store.get(key, std::chrono::seconds(1));
      Claim theirs;
      std::memcpy(&theirs, bytes.data(), std::min(bytes.size(), sizeof(Claim)));
      return theirs;
    } catch (const std::exception&) {  // the store may be gone, with a rank that does not take part in this
      return std::nullopt;
    }
  }

  std::mutex mutex;  // guards what follows
  bool aborted = false;
  c10::intrusive_ptr<c10d::Work> waited_for;
  uint64_t num_waits = 0;
  bool stop = false;
  std::condition_variable stopping;
  std::thread alarm;  // interrupts waits that last

  void interrupt() const noexcept {
    try {
      if (waited_for != nullptr) waited_for->abort();  // its wait() returns false; it may be waited for again
    } catch (const std::exception&) {
    }
  }
  void ring() {
    std::unique_lock lock(mutex);
    for (uint64_t seen = 0; !stopping.wait_for(lock, kPatience, [&] { return stop; }); seen = num_waits) {
      if (num_waits == seen) interrupt();
    }
  }
};

Wire::Wire(const Endpoint& endpoint) : impl_(std::make_unique<Impl>(endpoint)) {
  ignore_broken_pipes();
  auto options = c10d::ProcessGroupGloo::Options::create(endpoint.timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(
      endpoint.interface_address.empty() ? "127.0.0.1" : endpoint.interface_address));
  options->threads = 1;  // its queue of collectives stays empty: only send and recv are used
  impl_->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(endpoint.store.state().store, endpoint.index,
                                                            endpoint.size(), options);
  impl_->alarm = std::thread([this] { impl_->ring(); });
}

Wire::~Wire() = default;

int Wire::size() const { return static_cast<int>(impl_->ranks.size()); }
int Wire::index() const { return impl_->index; }

std::vector<int> Wire::others() const {
  std::vector<int> peers;
  for (int step = 1; step < size(); ++step) peers.push_back((index() + step) % size());
  return peers;
}

std::shared_ptr<Wire::Ticket> Wire::post(Way way, int peer, const void* data, int64_t bytes, int64_t tag) {
  if (impl_->gloo == nullptr) throw CommError("the connections are closed");
  std::vector<at::Tensor> list{at::from_blob(const_cast<void*>(data), {bytes}, at::kByte)};
  auto ticket = std::make_shared<Ticket>();
  ticket->peer = peer;
  ticket->receives = way == Way::recv;
  ticket->work = way == Way::send ? impl_->gloo->send(list, peer, static_cast<int>(tag))
                                  : impl_->gloo->recv(list, peer, static_cast<int>(tag));
  return ticket;
}

std::shared_ptr<Wire::Ticket> Wire::post_piece(Way way, const Header& header, int peer, const void* data,
                                               int64_t bytes, Channel channel) {
  impl_->history.remember(header);
  auto ticket =
      post(way, peer, data, bytes, payload_tag(impl_->history, header, static_cast<int64_t>(channel)));
  ticket->header = header;
  return ticket;
}
std::shared_ptr<Wire::Ticket> Wire::post_send(const Header& header, int peer, const void* data, int64_t bytes,
                                              Channel channel) {
  return post_piece(Way::send, header, peer, data, bytes, channel);
}
std::shared_ptr<Wire::Ticket> Wire::post_recv(const Header& header, int peer, void* data, int64_t bytes,
                                              Channel channel) {
  return post_piece(Way::recv, header, peer, data, bytes, channel);
}

void Wire::post_payload(Tickets& tickets, Way way, const Stream& stream) {
  for (int64_t begin = 0; begin < stream.bytes; begin += kMaxMessage) {
    const int64_t bytes = std::min(kMaxMessage, stream.bytes - begin);
    tickets.push_back(post_piece(way, stream.header, stream.peer, static_cast<char*>(stream.data) + begin,
                                 bytes, Channel::first));
  }
}

// With its payload.
std::shared_ptr<Wire::Ticket> Wire::post_header(const Stream& stream, std::vector<char*>& leaving) {
  impl_->history.remember(stream.header);
  leaving.push_back(impl_->room());
  std::memcpy(leaving.back(), &stream.header, sizeof(Header));
  if (stream.bytes > 0) std::memcpy(leaving.back() + sizeof(Header), stream.data, stream.bytes);
  auto ticket = post(Way::send, stream.peer, leaving.back(),
                     static_cast<int64_t>(sizeof(Header)) + stream.bytes, kHeaderTag);
  ticket->header = stream.header;
  return ticket;
}

bool Wire::completed(const Ticket& ticket) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->aborted) throw CommError("aborted");
    impl_->waited_for = ticket.work;
    ++impl_->num_waits;
  }
  const auto forget = [&] {
    std::lock_guard lock(impl_->mutex);
    impl_->waited_for.reset();
    return impl_->aborted;
  };
  bool complete = false;
  try {
    complete = ticket.work->wait();
  } catch (...) {
    forget();
    throw;
  }
  if (forget()) throw CommError("aborted");
  return complete;
}

void Wire::wait(const std::shared_ptr<Ticket>& ticket) {
  const auto begin = std::chrono::steady_clock::now();
  for (uint64_t interruptions = 1; !completed(*ticket); ++interruptions) {
    if (std::chrono::steady_clock::now() - begin > impl_->timeout) {
      throw CommError(fmt::format("rank {} did not come within {:g} s", impl_->ranks[ticket->peer],
                                  static_cast<double>(impl_->timeout.count()) / 1e3));
    }
    // Less and less often: it may be a slow rank.
    if (std::has_single_bit(interruptions) || interruptions % 64 == 0) look_for_disagreement(*ticket);
  }
}

void Wire::wait_all(Tickets& tickets) {
  for (const auto& ticket : tickets) wait(ticket);
  tickets.clear();
}

void Wire::check(const Header& mine, int peer, const Header& theirs) const {
  if (theirs == mine) return;
  // A message of an earlier collective, in which this member took none: that is the one they disagree about.
  const Header* past = mine.op != kTransfer && theirs.sequence < mine.sequence
                           ? impl_->history.find(theirs.sequence)
                           : nullptr;
  throw CommError(fmt::format("members disagree: here {}, on rank {} {}",
                              describe(past != nullptr ? *past : mine), impl_->ranks[peer],
                              describe(theirs)));
}

void Wire::look_for_disagreement(const Ticket& stuck) {
  const Claim mine{stuck.header, stuck.peer, stuck.receives ? 1 : 0, impl_->history};
  if (const std::optional<Claim> theirs = impl_->exchange_claims(mine)) {
    if (const auto headers = disagreement(mine, impl_->index, *theirs))
      check(headers->first, stuck.peer, headers->second);
  }
  if (stuck.receives && !stuck.in_mail) look_into_mail(stuck);
}

// Whether a short message has come in place of a long one.
void Wire::look_into_mail(const Ticket& stuck) {
  std::deque<Impl::Arrival>& mail = impl_->mail[stuck.peer];
  if (mail.empty()) return;
  Impl::Arrival& next = mail.front();
  if (!next.here) next.here = completed(*next.ticket);
  if (!next.here) return;
  const Header theirs = header_at(next.room);
  const bool same_kind = (theirs.op == kTransfer) == (stuck.header.op == kTransfer);
  if (same_kind && theirs.sequence <= stuck.header.sequence) check(stuck.header, stuck.peer, theirs);
}

void Wire::exchange(const std::vector<Stream>& out, const std::vector<Stream>& in,
                    std::function<void()> meanwhile) {
  std::vector<char*> leaving;
  Tickets tickets, payload;
  for (const Stream& s : in) {
    if (!is_inline(s)) post_payload(tickets, Way::recv, s);
  }
  for (const Stream& s : out) {
    // One payload after the other where all send: each to another one, where all at once would crowd the cores.
    if (!in.empty()) wait_all(payload);
    if (is_inline(s)) {
      tickets.push_back(post_header(s, leaving));
    } else {
      post_payload(payload, Way::send, s);
    }
    std::exchange(meanwhile, [] {})();
  }
  meanwhile();
  for (const Stream& s : in) {
    if (is_inline(s)) receive(s);
  }
  wait_all(payload);
  wait_all(tickets);
  impl_->free_rooms.insert(impl_->free_rooms.end(), leaving.begin(), leaving.end());
}

// The next header from the peer, and what it carries.
void Wire::receive(const Stream& stream) {
  impl_->history.remember(stream.header);
  std::deque<Impl::Arrival>& mail = impl_->mail[stream.peer];
  // Here rather than after an arrival: this thread is about to wait, nobody waits for it.
  while (mail.size() < kNumReady) {
    char* room = impl_->room();
    mail.push_back({room, post(Way::recv, stream.peer, room, kHeaderRoom, kHeaderTag)});
  }
  const Impl::Arrival arrival = std::move(mail.front());
  mail.pop_front();
  arrival.ticket->header = stream.header;
  arrival.ticket->in_mail = true;
  if (!arrival.here) wait(arrival.ticket);
  check(stream.header, stream.peer, header_at(arrival.room));
  if (stream.bytes > 0) std::memcpy(stream.data, arrival.room + sizeof(Header), stream.bytes);
  impl_->free_rooms.push_back(arrival.room);
}

void Wire::close(const std::string& cause) noexcept {
  try {
    if (!impl_->store.has("failed")) impl_->store.set("failed", cause);
  } catch (const std::exception&) {
    // The store may be gone with the rank that failed.
  }
  try {
    for (std::deque<Impl::Arrival>& mail : impl_->mail) mail.clear();  // tickets keep connections open
    impl_->gloo.reset();
  } catch (const std::exception&) {
  }
}

std::string Wire::cause_or(const std::string& otherwise) noexcept {
  try {
    if (impl_->store.has("failed")) return impl_->store.get("failed", std::chrono::seconds(1));
  } catch (const std::exception&) {
  }
  return otherwise;
}

void Wire::abort() noexcept {
  std::lock_guard lock(impl_->mutex);
  impl_->aborted = true;
  impl_->interrupt();
}

}  // namespace colossal::comm
