// SPDX-License-Identifier: Apache-2.0
#include "colossal/data/loader.h"

#include <condition_variable>
#include <deque>
#include <exception>
#include <thread>

#include "colossal/base/error.h"

namespace colossal::data {

// Owns the thread and the queue. The thread alone advances `produced_`; the consumer alone advances
// `delivered_`.
class Loader::Prefetcher {
 public:
  Prefetcher(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
      : dataset_(std::move(dataset)),
        options_(options),
        order_(checked_size(), options.seed, options.shuffle) {
    start(0);
  }
  ~Prefetcher() { stop(); }

  void start(int64_t position) {
    stop();
    queue_.clear();
    failure_ = nullptr;
    stopping_ = finished_ = false;
    origin_ = position;
    delivered_ = 0;
    thread_ = std::thread([this] { run(); });
  }

  std::optional<Batch> next() {
    std::unique_lock lock(mutex_);
    if (queue_.empty() && !finished_ && !failure_) {
      const auto begin = std::chrono::steady_clock::now();
      filled_.wait(lock, [this] { return !queue_.empty() || finished_ || failure_; });
      wait_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    if (queue_.empty()) {
      if (failure_) std::rethrow_exception(failure_);
      return std::nullopt;
    }
    Batch batch = std::move(queue_.front());
    queue_.pop_front();
    ++delivered_;
    lock.unlock();
    taken_.notify_one();
    return batch;
  }

  bool between_steps() const { return delivered_ % options_.split.accumulation() == 0; }
  int64_t position() const {
    return origin_ + delivered_ / options_.split.accumulation() * options_.split.global_batch_size;
  }
  double take_wait_seconds() { return std::exchange(wait_seconds_, 0.0); }
  const LoaderOptions& options() const { return options_; }
  const SampleOrder& order() const { return order_; }

 private:
  int64_t checked_size() const {
    options_.split.validate();
    if (options_.prefetch < 1) {
      throw ConfigError(
          fmt::format("data.prefetch = {}. Allowed: 1 or more microbatches.", options_.prefetch));
    }
    const int64_t size = dataset_->size();
    if (size < 1) throw ConfigError("the dataset holds no samples. Allowed: at least one.");
    if (options_.pass == Pass::endless && size < options_.split.global_batch_size) {
      throw ConfigError(
          fmt::format("the training data holds {} samples, fewer than one global batch "
                      "(train.global_batch_size = {}). Use more data, "
                      "for text a smaller data.sequence_length, or train.global_batch_size of at most {}.",
                      size, options_.split.global_batch_size, size));
    }
    return size;
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    taken_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  void run() {
    try {
      for (int64_t step = 0;; ++step) {
        const int64_t position = origin_ + step * options_.split.global_batch_size;
        if (options_.pass == Pass::once && position >= order_.num_samples()) break;
        for (int64_t microbatch = 0; microbatch < options_.split.accumulation(); ++microbatch) {
          if (!push(prepare(position, microbatch))) return;
        }
      }
      std::lock_guard lock(mutex_);
      finished_ = true;
    } catch (...) {
      std::lock_guard lock(mutex_);
      failure_ = std::current_exception();
    }
    filled_.notify_all();
  }

  Batch prepare(int64_t position, int64_t microbatch) const {
    const int64_t first_row = options_.split.first_row(microbatch);
    std::vector<int64_t> samples;
    int64_t num_real = 0;
    for (int64_t row = first_row; row < first_row + options_.split.microbatch_size; ++row) {
      const bool past_end = options_.pass == Pass::once && position + row >= order_.num_samples();
      samples.push_back(past_end ? 0 : order_(position + row));
      num_real += past_end ? 0 : 1;
    }
    Batch batch = dataset_->fetch(samples, position + first_row);
    for (auto& [name, tensor] : batch.inputs) {
      if (models::is_label(name))
        tensor.narrow(0, num_real, options_.split.microbatch_size - num_real).fill_(kIgnoredLabel);
    }
    batch.step = position / options_.split.global_batch_size;
    batch.microbatch = microbatch;
    batch.first_row = first_row;
    return batch;
  }

  bool push(Batch batch) {
    {
      std::unique_lock lock(mutex_);
      taken_.wait(lock,
                  [this] { return stopping_ || static_cast<int64_t>(queue_.size()) < options_.prefetch; });
      if (stopping_) return false;
      queue_.push_back(std::move(batch));
    }
    filled_.notify_one();
    return true;
  }

  std::shared_ptr<const Dataset> dataset_;
  LoaderOptions options_;
  SampleOrder order_;
  int64_t origin_ = 0;     // position of the first step since start()
  int64_t delivered_ = 0;  // microbatches handed out since start()
  double wait_seconds_ = 0;

  std::mutex mutex_;
  std::condition_variable filled_, taken_;
  std::deque<Batch> queue_;
  std::exception_ptr failure_;
  bool stopping_ = false;
  bool finished_ = false;
  std::thread thread_;
};

Loader::Loader(std::shared_ptr<const Dataset> dataset, LoaderOptions options)
    : prefetcher_(std::make_unique<Prefetcher>(std::move(dataset), options)) {}
Loader::~Loader() = default;
Loader::Loader(Loader&&) noexcept = default;
Loader& Loader::operator=(Loader&&) noexcept = default;

std::optional<Batch> Loader::next() { return prefetcher_->next(); }

std::vector<Batch> Loader::next_step() {
  if (!prefetcher_->between_steps()) {
    throw InternalError(
        "Loader::next_step() in the middle of a step; take the remaining microbatches with next() first");
  }
  std::vector<Batch> batches;
  for (int64_t i = 0; i < accumulation(); ++i) {
    std::optional<Batch> batch = next();
    if (!batch) break;
    batches.push_back(*std::move(batch));
  }
  return batches;
}

const BatchSplit& Loader::split() const { return prefetcher_->options().split; }
int64_t Loader::num_samples() const { return prefetcher_->order().num_samples(); }
int64_t Loader::steps_per_epoch() const {
  return (num_samples() + split().global_batch_size - 1) / split().global_batch_size;
}
int64_t Loader::samples_consumed() const { return prefetcher_->position(); }
double Loader::epoch() const {
  return static_cast<double>(samples_consumed()) / static_cast<double>(num_samples());
}
double Loader::take_wait_seconds() { return prefetcher_->take_wait_seconds(); }

Json Loader::state() const {
  const SampleOrder& order = prefetcher_->order();
  return {{"samples_consumed", samples_consumed()},
          {"num_samples", order.num_samples()},
          {"seed", order.seed()},
          {"shuffled", order.shuffle() == Shuffle::yes}};
}

void Loader::load_state(const Json& state) {
  const Json mine = this->state();
  std::vector<std::string> problems;
  const auto differs = [&](const char* key) {
    if (state.contains(key)) return state.at(key) != mine.at(key);
    problems.push_back(
        fmt::format("data position in the checkpoint has no \"{}\". It was written by something else.", key));
    return false;
  };
  for (const auto& [key, option] : {std::pair("seed", "run.seed"), std::pair("shuffled", "data.shuffle")}) {
    if (!differs(key)) continue;
    problems.push_back(fmt::format("{} = {}, but the checkpoint was trained with {}. Set it to {}.", option,
                                   mine.at(key).dump(), state.at(key).dump(), state.at(key).dump()));
  }
  if (differs("num_samples")) {
    problems.push_back(fmt::format(
        "the training data holds {} samples, but the checkpoint was trained on {}. Resume with the files "
        "that "
        "data.train and data.validation named then, as they were, and the same data.validation_fraction, "
        "data.sequence_length and data.tokenizer, or start a new run from the weights (model.load).",
        mine.at("num_samples").dump(), state.at("num_samples").dump()));
  }
  const auto consumed = state.find("samples_consumed");
  if (consumed == state.end() || !consumed->is_number_integer() || consumed->get<int64_t>() < 0) {
    problems.emplace_back(
        "data position in the checkpoint has no valid \"samples_consumed\". Allowed: an integer from 0.");
  }
  if (!problems.empty()) throw ConfigError(std::move(problems));
  seek(consumed->get<int64_t>());
}

void Loader::seek(int64_t samples_consumed) {
  if (samples_consumed < 0) throw InternalError(fmt::format("Loader::seek({})", samples_consumed));
  prefetcher_->start(samples_consumed);
}

}  // namespace colossal::data
