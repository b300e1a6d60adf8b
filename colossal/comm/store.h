// SPDX-License-Identifier: Apache-2.0
// Small strings that all ranks of a run share: how they find each other and how a failure's cause travels.
//
//   store.set("host/3", "node-a");
//   std::string host = store.get("host/3");      // blocks until someone has set it
//
// A cheap handle, copied freely. Thread-safe, but a blocking get() over TCP holds up other calls on the same
// connection: a thread of its own takes store.clone(). All failures are CommError.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace colossal::comm {

class Store {
 public:
  struct State;  // store_state.h: the c10d store, private to comm
  explicit Store(std::shared_ptr<State> state) : state_(std::move(state)) {}

  // Store of ranks that are threads of this process.
  static Store in_process();
  // Connection to the server at host:port. With `serve` this process owns the server; `listen_fd` >= 0 is its
  // bound socket. CommError when the port is in use or nobody answers within `timeout`.
  struct Tcp {
    std::string host = "127.0.0.1";
    int port = 0;
    bool serve = false;
    int listen_fd = -1;
    std::chrono::milliseconds timeout{10'000};
  };
  static Store tcp(const Tcp& options);

  void set(const std::string& key, const std::string& value);
  // Blocks until some rank has set the key, at most `timeout`; CommError names the key.
  std::string get(const std::string& key, std::chrono::milliseconds timeout) const;
  bool has(const std::string& key) const;
  // Adds to a counter that starts at 0 and returns its new value.
  int64_t add(const std::string& key, int64_t amount);
  void erase(const std::string& key);

  // The same store with `prefix` + "/" in front of every key; shares abort().
  Store prefixed(const std::string& prefix) const;
  // The same store over a connection of its own, for another thread.
  Store clone() const;
  // Makes blocked and future get() calls of this handle and its copies throw CommError with `reason` within
  // 0.1 s.
  void abort(const std::string& reason) noexcept;

  State& state() const { return *state_; }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace colossal::comm
