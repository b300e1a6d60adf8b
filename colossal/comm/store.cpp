// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/store.h"

#include <thread>
#include <torch/csrc/distributed/c10d/HashStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "colossal/base/error.h"
#include "colossal/comm/store_state.h"

namespace colossal::comm {

void AbortFlag::raise(const std::string& reason) noexcept {
  std::lock_guard lock(mutex_);
  if (raised_.load()) return;
  reason_ = reason;
  raised_.store(true);
}

void AbortFlag::check() const {
  if (!raised_.load()) return;
  std::lock_guard lock(mutex_);
  throw CommError(reason_);
}

namespace {

using Bytes = std::vector<uint8_t>;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

// Puts a prefix before every key and cuts blocking calls into slices, so that an abort ends them: c10d's own
// stores block until their timeout, also inside the rendezvous of Gloo and NCCL.
class GuardedStore final : public c10d::Store {
 public:
  GuardedStore(c10::intrusive_ptr<c10d::Store> base, std::string prefix, std::shared_ptr<AbortFlag> flag)
      : base_(std::move(base)), prefix_(std::move(prefix)), flag_(std::move(flag)) {
    timeout_ = milliseconds(600'000);
  }
  c10::intrusive_ptr<c10d::Store> clone() override {
    return c10::make_intrusive<GuardedStore>(base_->clone(), prefix_, flag_);
  }
  void set(const std::string& key, const Bytes& value) override { base_->set(prefix_ + key, value); }
  Bytes compareSet(const std::string& key, const Bytes& expected, const Bytes& desired) override {
    return base_->compareSet(prefix_ + key, expected, desired);
  }
  Bytes get(const std::string& key) override {
    wait({key}, timeout_);
    return base_->get(prefix_ + key);
  }
  int64_t add(const std::string& key, int64_t value) override { return base_->add(prefix_ + key, value); }
  bool deleteKey(const std::string& key) override { return base_->deleteKey(prefix_ + key); }
  bool check(const std::vector<std::string>& keys) override { return base_->check(prefixed(keys)); }
  int64_t getNumKeys() override { return base_->getNumKeys(); }
  void wait(const std::vector<std::string>& keys) override { wait(keys, timeout_); }
  void wait(const std::vector<std::string>& keys, const milliseconds& timeout) override {
    // Asking again and again, because c10d's own wait blocks until its timeout and complains on stderr when that comes.
    const auto full = prefixed(keys);
    const auto deadline = steady_clock::now() + timeout;
    for (milliseconds pause{1}; flag_->check(), !base_->check(full);
         pause = std::min(pause * 2, milliseconds(20))) {
      if (steady_clock::now() > deadline) throw std::runtime_error("timed out");
      std::this_thread::sleep_for(pause);
    }
  }

 private:
  std::vector<std::string> prefixed(const std::vector<std::string>& keys) const {
    std::vector<std::string> full;
    for (const std::string& key : keys) full.push_back(prefix_ + key);
    return full;
  }

  c10::intrusive_ptr<c10d::Store> base_;
  std::string prefix_;
  std::shared_ptr<AbortFlag> flag_;
};

Store make_store(c10::intrusive_ptr<c10d::Store> base, const std::string& prefix,
                 std::shared_ptr<AbortFlag> flag) {
  auto state = std::make_shared<Store::State>();
  state->store = c10::make_intrusive<GuardedStore>(base, prefix, flag);
  state->base = std::move(base);
  state->prefix = prefix;
  state->flag = std::move(flag);
  return Store(std::move(state));
}

// The first line of what c10d has to say; the rest is a C++ backtrace.
std::string first_line_of(const std::exception& error) {
  const std::string text = error.what();
  return text.substr(0, text.find('\n'));
}

template <class Call>
auto translate(const char* what, const std::string& key, Call&& call) {
  try {
    return call();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw CommError(fmt::format("store: {} \"{}\" failed: {}", what, key, first_line_of(error)));
  }
}

}  // namespace

Store Store::in_process() {
  return make_store(c10::make_intrusive<c10d::HashStore>(), "", std::make_shared<AbortFlag>());
}

Store Store::tcp(const Tcp& options) {
  c10d::TCPStoreOptions tcp;
  tcp.port = static_cast<std::uint16_t>(options.port);
  tcp.isServer = options.serve;
  tcp.waitWorkers = false;
  tcp.timeout = options.timeout;
  if (options.serve && options.listen_fd >= 0) tcp.masterListenFd = options.listen_fd;
  try {
    return make_store(c10::make_intrusive<c10d::TCPStore>(options.host, tcp), "",
                      std::make_shared<AbortFlag>());
  } catch (const std::exception& error) {
    const std::string cause = first_line_of(error);
    if (options.serve && cause.find("EADDRINUSE") != std::string::npos) {
      throw CommError(
          fmt::format("rendezvous: port {} is in use on this host. Choose another port (MASTER_PORT), or "
                      "stop the run that holds it.",
                      options.port));
    }
    if (options.serve) {
      throw CommError(fmt::format("rendezvous: cannot listen on port {}: {}", options.port, cause));
    }
    throw CommError(
        fmt::format("rendezvous: nobody answers at {}:{} within {:.0f} s. Is rank 0 running there, and are "
                    "MASTER_ADDR and MASTER_PORT the same on all ranks? ({})",
                    options.host, options.port, options.timeout.count() / 1e3, cause));
  }
}

void Store::set(const std::string& key, const std::string& value) {
  translate("set", key, [&] { state_->store->set(key, Bytes(value.begin(), value.end())); });
}

std::string Store::get(const std::string& key, milliseconds timeout) const {
  return translate("get", key, [&] {
    try {
      state_->store->wait({key}, timeout);
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      throw CommError(fmt::format("store: no rank has set \"{}\" within {:.1f} s: {}", key,
                                  timeout.count() / 1e3, first_line_of(error)));
    }
    const Bytes value = state_->base->get(state_->prefix + key);
    return std::string(value.begin(), value.end());
  });
}

bool Store::has(const std::string& key) const {
  return translate("check", key, [&] { return state_->store->check({key}); });
}

int64_t Store::add(const std::string& key, int64_t amount) {
  return translate("add", key, [&] { return state_->store->add(key, amount); });
}

void Store::erase(const std::string& key) {
  translate("erase", key, [&] { state_->store->deleteKey(key); });
}

Store Store::prefixed(const std::string& prefix) const {
  return make_store(state_->base, state_->prefix + prefix + "/", state_->flag);
}

Store Store::clone() const { return make_store(state_->base->clone(), state_->prefix, state_->flag); }

void Store::abort(const std::string& reason) noexcept { state_->flag->raise(reason); }

}  // namespace colossal::comm
