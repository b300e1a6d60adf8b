// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/gloo/wire.h"

#include <array>
#include <csignal>
#include <cstring>
#include <deque>
#include <mutex>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include "colossal/base/error.h"
#include "colossal/comm/checks.h"
#include "colossal/comm/store_state.h"

namespace colossal::comm {

namespace {

constexpr std::array kOpNames = {"all_reduce", "all_gather", "reduce_scatter", "all_to_all", "broadcast",
                                 "reduce",     "gather",     "scatter",        "transfer",   "barrier"};
constexpr std::array kReduceNames = {"sum", "avg", "max", "min"};

// Gloo writes to sockets without MSG_NOSIGNAL: that a peer has closed its end must be an error of the call, not the end of this process.
void ignore_broken_pipes() {
  struct sigaction now = {};
  if (::sigaction(SIGPIPE, nullptr, &now) == 0 && now.sa_handler == SIG_DFL) std::signal(SIGPIPE, SIG_IGN);
}

}  // namespace

std::string describe(const Header& header) {
  std::string text = kOpNames[static_cast<size_t>(header.op)];
  if (header.sequence > 0) text += fmt::format(" number {}", header.sequence);
  if (header.op != kBarrier) {
    text +=
        fmt::format(" of {} bytes {}", header.bytes, dtype_name(static_cast<at::ScalarType>(header.dtype)));
  }
  if (header.reduce >= 0) text += fmt::format(" ({})", kReduceNames[static_cast<size_t>(header.reduce)]);
  if (header.root >= 0) text += fmt::format(" with root {}", header.root);
  return text;
}

class Wire::Ticket {
 public:
  c10::intrusive_ptr<c10d::Work> work;
};

namespace {

constexpr int64_t kHeaderTag = 0;  // of every header with its short payload
// The tag of a raw payload is its size: Gloo never pairs a message with a buffer of another one.
int64_t payload_tag(int64_t bytes, Wire::Channel channel) {
  return 2 * bytes + static_cast<int64_t>(channel);
}
constexpr int64_t kHeaderRoom = sizeof(Header) + Wire::kInline;
// Collectives that a late disagreement can still be told about.
constexpr size_t kRemembered = 64;
// Receivers of headers that wait at each peer: one for what is on its way, one for what comes next.
constexpr size_t kNumReady = 2;

bool is_inline(const Wire::Stream& stream) { return stream.bytes <= Wire::kInline; }

}  // namespace

struct Wire::Impl {
  // A header on its way here.
  struct Arrival {
    char* room;
    std::shared_ptr<Ticket> ticket;
  };
  explicit Impl(const Endpoint& e) : store(e.store), ranks(e.ranks), index(e.index), mail(e.ranks.size()) {}
  std::vector<std::unique_ptr<char[]>>
      rooms;                      // of all headers: they outlive Gloo and its thread, which writes to them
  std::vector<char*> free_rooms;  // of headers that have come or gone: their pages are there
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  Store store;
  std::vector<int> ranks;
  int index;
  std::vector<std::deque<Arrival>> mail;  // by peer, in the order of the headers
  char* room() {
    if (free_rooms.empty()) return rooms.emplace_back(new char[kHeaderRoom]).get();
    char* last = free_rooms.back();
    free_rooms.pop_back();
    return last;
  }
  std::array<Header, kRemembered> past = {};  // what this member took each collective for, by sequence
  void remember(const std::vector<Stream>& streams) {
    for (const Stream& s : streams) past[s.header.sequence % kRemembered] = s.header;
  }
  std::mutex mutex;  // guards what abort() touches
  bool aborted = false;
  c10::intrusive_ptr<c10d::Work> waited_for;
};

Wire::Wire(const Endpoint& endpoint) : impl_(std::make_unique<Impl>(endpoint)) {
  ignore_broken_pipes();
  auto options = c10d::ProcessGroupGloo::Options::create(endpoint.timeout);
  options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(
      endpoint.interface_address.empty() ? "127.0.0.1" : endpoint.interface_address));
  options->threads = 1;  // its queue of collectives stays empty: only send and recv are used
  impl_->gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(endpoint.store.state().store, endpoint.index,
                                                            endpoint.size(), options);
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
  ticket->work = way == Way::send ? impl_->gloo->send(list, peer, static_cast<int>(tag))
                                  : impl_->gloo->recv(list, peer, static_cast<int>(tag));
  return ticket;
}

std::shared_ptr<Wire::Ticket> Wire::post_send(int peer, const void* data, int64_t bytes, Channel channel) {
  return post(Way::send, peer, data, bytes, payload_tag(bytes, channel));
}
std::shared_ptr<Wire::Ticket> Wire::post_recv(int peer, void* data, int64_t bytes, Channel channel) {
  return post(Way::recv, peer, data, bytes, payload_tag(bytes, channel));
}

void Wire::post_payload(Tickets& tickets, Way way, const Stream& stream) {
  for (int64_t begin = 0; begin < stream.bytes; begin += kMaxMessage) {
    const int64_t bytes = std::min(kMaxMessage, stream.bytes - begin);
    tickets.push_back(post(way, stream.peer, static_cast<char*>(stream.data) + begin, bytes,
                           payload_tag(bytes, Channel::first)));
  }
}

void Wire::wait(const std::shared_ptr<Ticket>& ticket) {
  {
    std::lock_guard lock(impl_->mutex);
    if (impl_->aborted) throw CommError("aborted");
    impl_->waited_for = ticket->work;
  }
  const auto forget = [&] {
    std::lock_guard lock(impl_->mutex);
    impl_->waited_for.reset();
    return impl_->aborted;
  };
  try {
    ticket->work->wait();
  } catch (...) {
    forget();
    throw;
  }
  if (forget()) throw CommError("aborted");
}

void Wire::wait_all(Tickets& tickets) {
  for (const auto& ticket : tickets) wait(ticket);
  tickets.clear();
}

void Wire::check(const Stream& mine, const char* theirs) const {
  Header header;
  std::memcpy(&header, theirs, sizeof(Header));
  if (header == mine.header) return;
  // A message of an earlier collective, in which this member took none: that is the one they disagree about.
  const Header& past = impl_->past[header.sequence % kRemembered];
  const bool late =
      header.sequence > 0 && header.sequence < mine.header.sequence && past.sequence == header.sequence;
  throw CommError(fmt::format("members disagree: here {}, on rank {} {}", describe(late ? past : mine.header),
                              impl_->ranks[mine.peer], describe(header)));
}

void Wire::exchange(const std::vector<Stream>& out, const std::vector<Stream>& in) {
  impl_->remember(out);
  impl_->remember(in);
  std::vector<char*> leaving;
  Tickets tickets;
  for (const Stream& s : in) {
    if (!is_inline(s)) post_payload(tickets, Way::recv, s);
  }
  Tickets payload;
  for (const Stream& s : out) {
    // One payload after the other: each member sends to another one, where all at once would crowd the cores.
    wait_all(payload);
    // The payload first: when its header has arrived, so has the payload, and the receiver's thread wakes once.
    if (!is_inline(s)) post_payload(payload, Way::send, s);
    const int64_t with = is_inline(s) ? s.bytes : 0;
    leaving.push_back(impl_->room());
    std::memcpy(leaving.back(), &s.header, sizeof(Header));
    if (with > 0) std::memcpy(leaving.back() + sizeof(Header), s.data, with);
    tickets.push_back(post(Way::send, s.peer, leaving.back(), sizeof(Header) + with, kHeaderTag));
  }
  for (const Stream& s : in) receive(s);
  wait_all(payload);
  wait_all(tickets);
  impl_->free_rooms.insert(impl_->free_rooms.end(), leaving.begin(), leaving.end());
}

// The next header from the peer, and what it carries.
void Wire::receive(const Stream& stream) {
  std::deque<Impl::Arrival>& mail = impl_->mail[stream.peer];
  // Here rather than after an arrival: this thread is about to wait, nobody waits for it.
  while (mail.size() < kNumReady) {
    char* room = impl_->room();
    mail.push_back({room, post(Way::recv, stream.peer, room, kHeaderRoom, kHeaderTag)});
  }
  const Impl::Arrival arrival = std::move(mail.front());
  mail.pop_front();
  wait(arrival.ticket);
  check(stream, arrival.room);
  if (is_inline(stream) && stream.bytes > 0)
    std::memcpy(stream.data, arrival.room + sizeof(Header), stream.bytes);
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
  try {
    if (impl_->waited_for != nullptr) impl_->waited_for->abort();
  } catch (const std::exception&) {
  }
}

}  // namespace colossal::comm
