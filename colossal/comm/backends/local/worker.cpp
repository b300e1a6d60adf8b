// SPDX-License-Identifier: Apache-2.0
#include "colossal/comm/backends/local/worker.h"

namespace colossal::comm::local {

Worker::~Worker() {
  if (thread_.joinable()) {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    work_.notify_one();
    thread_.join();
  }
}

void Worker::start(Job& job) {
  if (!thread_.joinable()) {
    thread_ = std::thread([this] { loop(); });
  }
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(&job);
    ++unfinished_;
  }
  work_.notify_one();
}

void Worker::finish(Job& job) {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return job.finished_; });
}

void Worker::wait(Job& job) {
  finish(job);
  if (job.error_) {
    std::rethrow_exception(job.error_);
  }
}

void Worker::drain() {
  if (thread_.joinable()) {
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return unfinished_ == 0; });
  }
}

bool Worker::idle() {
  std::lock_guard lock(mutex_);
  return unfinished_ == 0;
}

void Worker::loop() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_.wait(lock, [&] { return stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) {
      return;
    }
    Job* job = jobs_.front();
    jobs_.pop_front();
    lock.unlock();
    std::exception_ptr error;
    try {
      job->run();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    job->error_ = error;
    job->finished_ = true;
    --unfinished_;
    done_.notify_all();
  }
}

}  // namespace colossal::comm::local
