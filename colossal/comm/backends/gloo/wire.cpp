// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/gloo/wire.h"

#include <array>
#include <csignal>
#include <cstring>
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

struct Wire::Impl {
  explicit Impl(const Endpoint& e) : store(e.store), ranks(e.ranks) {}
  c10::intrusive_ptr<c10d::ProcessGroupGloo> gloo;
  Store store;
  std::vector<int> ranks;
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

std::shared_ptr<Wire::Ticket> Wire::post(int peer, const void* data, int64_t bytes, Tag tag, bool send) {
  if (impl_->gloo == nullptr) throw CommError("the connections are closed");
  std::vector<at::Tensor> list{at::from_blob(const_cast<void*>(data), {bytes}, at::kByte)};
  auto ticket = std::make_shared<Ticket>();
  ticket->work = send ? impl_->gloo->send(list, peer, tag) : impl_->gloo->recv(list, peer, tag);
  return ticket;
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

void Wire::check(const Stream& mine, const char* theirs) const {
  Header header;
  std::memcpy(&header, theirs, sizeof(Header));
  if (header == mine.header) return;
  throw CommError(fmt::format("members disagree: here {}, on rank {} {}", describe(mine.header),
                              impl_->ranks[mine.peer], describe(header)));
}

void Wire::exchange(const std::vector<Stream>& out, const std::vector<Stream>& in) {
  static constexpr int64_t kCapacity = sizeof(Header) + kInline;
  const auto is_inline = [](const Stream& s) { return s.bytes <= kInline; };
  // Buffers before tickets: a ticket that dies early takes its buffer back from Gloo.
  std::vector<std::unique_ptr<char[]>> arrived, leaving, requests(out.size());
  std::vector<std::shared_ptr<Ticket>> receiving, requested(out.size()), rest;
  for (const Stream& s : in) {
    arrived.emplace_back(new char[kCapacity]);
    receiving.push_back(post(s.peer, arrived.back().get(), kCapacity, kHeader, false));
    if (is_inline(s)) continue;
    rest.push_back(post_recv(s.peer, s.data, s.bytes));
    rest.push_back(post(s.peer, &s.header, sizeof(Header), kRequest, true));
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const Stream& s = out[i];
    const int64_t with = is_inline(s) ? s.bytes : 0;
    leaving.emplace_back(new char[sizeof(Header) + with]);
    std::memcpy(leaving.back().get(), &s.header, sizeof(Header));
    if (with > 0) std::memcpy(leaving.back().get() + sizeof(Header), s.data, with);
    rest.push_back(post(s.peer, leaving.back().get(), sizeof(Header) + with, kHeader, true));
    if (is_inline(s)) continue;
    requests[i].reset(new char[sizeof(Header)]);
    requested[i] = post(s.peer, requests[i].get(), sizeof(Header), kRequest, false);
  }
  for (size_t i = 0; i < out.size(); ++i) {
    const Stream& s = out[i];
    if (is_inline(s)) continue;
    wait(requested[i]);
    check(s, requests[i].get());
    rest.push_back(post_send(s.peer, s.data, s.bytes));
  }
  for (size_t i = 0; i < in.size(); ++i) {
    const Stream& s = in[i];
    wait(receiving[i]);
    check(s, arrived[i].get());
    if (is_inline(s) && s.bytes > 0) std::memcpy(s.data, arrived[i].get() + sizeof(Header), s.bytes);
  }
  for (const auto& ticket : rest) wait(ticket);
}

void Wire::close(const std::string& cause) noexcept {
  try {
    if (!impl_->store.has("failed")) impl_->store.set("failed", cause);
  } catch (const std::exception&) {
    // The store may be gone with the rank that failed.
  }
  try {
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
