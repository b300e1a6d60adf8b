// SPDX-License-Identifier: Apache-2.0
// Runs the operations of one backend in the order they were issued, on the waiting thread where possible, else in the background.
//
//   Backend::Pending op = sequencer.submit([=] { ... });   // nothing has happened yet
//   op->wait();                                            // runs it here, after all that came before
//
// Thread-safe: submit, start and wait may come from different threads.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "colossal/comm/backend.h"

namespace colossal::comm {

class Sequencer {
 public:
  ~Sequencer();
  Backend::Pending submit(std::function<void()> run);

 private:
  struct Task;
  class Op;
  void start(const std::shared_ptr<Task>& task);
  void wait(const std::shared_ptr<Task>& task);
  void run_front(std::unique_lock<std::mutex>& lock);
  void work_in_background();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<Task>> queue_;  // not begun yet, in issue order
  size_t num_started_ = 0;                   // so many of them, from the front, may run in the background
  bool running_ = false;
  bool stop_ = false;
  std::thread thread_;  // from the first start() on
};

}  // namespace colossal::comm
