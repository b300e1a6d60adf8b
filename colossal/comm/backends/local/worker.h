// SPDX-License-Identifier: Apache-2.0
// The thread that runs overlapped operations, one after the other, in the order of start(). Created at the first one: ranks
// that only make synchronous calls have no extra thread.
//
//   worker.start(job);      // job runs on the worker's thread
//   worker.wait(job);       // rethrows what it threw
//
// start(), wait() and drain() from one thread.
#pragma once
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

namespace colossal::comm::local {

class Job {
 public:
  virtual ~Job() = default;
  virtual void run() = 0;

 private:
  friend class Worker;
  bool finished_ = false;
  std::exception_ptr error_;
};

class Worker {
 public:
  Worker() = default;
  ~Worker();  // finishes what was started
  Worker(const Worker&) = delete;

  // The job must live until wait(job) or finish(job).
  void start(Job& job);
  void finish(Job& job);  // blocks, never throws
  void wait(Job& job);
  void drain();  // blocks until nothing is under way
  bool idle();   // nothing is under way

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::deque<Job*> jobs_;
  size_t unfinished_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace colossal::comm::local
