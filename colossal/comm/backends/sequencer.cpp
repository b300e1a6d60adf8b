// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/sequencer.h"

#include <ATen/Parallel.h>

namespace colossal::comm {

struct Sequencer::Task {
  std::function<void()> run;
  bool done = false;
  std::exception_ptr error;
};

class Sequencer::Op final : public PendingOp {
 public:
  Op(Sequencer& sequencer, std::shared_ptr<Task> task) : sequencer_(sequencer), task_(std::move(task)) {}
  void start() override { sequencer_.start(task_); }
  void wait() override { sequencer_.wait(task_); }

 private:
  Sequencer& sequencer_;
  std::shared_ptr<Task> task_;
};

Sequencer::~Sequencer() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

Backend::Pending Sequencer::submit(std::function<void()> run) {
  auto task = std::make_shared<Task>();
  task->run = std::move(run);
  {
    std::lock_guard lock(mutex_);
    queue_.push_back(task);
  }
  return std::make_unique<Op>(*this, std::move(task));
}

void Sequencer::start(const std::shared_ptr<Task>& task) {
  std::lock_guard lock(mutex_);
  const auto place = std::find(queue_.begin(), queue_.end(), task);
  if (place == queue_.end()) return;  // a waiter of a later operation has begun it
  num_started_ = std::max<size_t>(num_started_, place - queue_.begin() + 1);
  if (!thread_.joinable()) thread_ = std::thread([this] { work_in_background(); });
  changed_.notify_all();
}

void Sequencer::wait(const std::shared_ptr<Task>& task) {
  std::unique_lock lock(mutex_);
  while (!task->done) {
    if (running_) {
      changed_.wait(lock);
    } else {
      run_front(lock);
    }
  }
  if (task->error != nullptr) std::rethrow_exception(task->error);
}

void Sequencer::run_front(std::unique_lock<std::mutex>& lock) {
  const std::shared_ptr<Task> task = std::move(queue_.front());
  queue_.pop_front();
  if (num_started_ > 0) --num_started_;
  running_ = true;
  lock.unlock();
  try {
    task->run();
  } catch (...) {
    task->error = std::current_exception();
  }
  task->run = nullptr;
  lock.lock();
  running_ = false;
  task->done = true;
  changed_.notify_all();
}

void Sequencer::work_in_background() {
  at::set_num_threads(1);  // the caller's computation has the cores
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stop_ || (!running_ && num_started_ > 0); });
    if (stop_) return;
    run_front(lock);
  }
}

}  // namespace colossal::comm
