// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <thread>

#include "colossal/base/error.h"
#include "colossal/data/loader.h"
#include "colossal/data/permutation.h"
#include "tests/support/error.h"

using namespace colossal;
using namespace colossal::data;

namespace {

// Sample i is the number i: the batches show which samples were taken.
std::shared_ptr<const Dataset> numbers(int64_t n) {
  const at::Tensor index = at::arange(n, at::kLong).unsqueeze(1);
  return std::make_shared<TensorDataset>(index, index.clone());
}

LoaderOptions options(int64_t global, int64_t micro, int64_t rank = 0, int64_t size = 1) {
  return {
      .split = {.global_batch_size = global, .microbatch_size = micro, .data_rank = rank, .data_size = size},
      .seed = 5};
}

// The rows of one step as all ranks of a layout see them, put together by first_row.
std::vector<int64_t> global_rows(std::vector<Loader>& ranks, int64_t global) {
  std::vector<int64_t> rows(global, -1);
  for (Loader& loader : ranks) {
    for (const Batch& batch : loader.next_step()) {
      for (int64_t i = 0; i < batch.input().size(0); ++i) {
        CHECK(rows.at(batch.first_row + i) == -1);
        rows.at(batch.first_row + i) = batch.input()[i].item<int64_t>();
        CHECK(batch.label()[i].item<int64_t>() == batch.input()[i].item<int64_t>());
      }
    }
  }
  return rows;
}

std::vector<Loader> layout(int64_t samples, int64_t global, int64_t micro, int64_t world) {
  std::vector<Loader> ranks;
  for (int64_t rank = 0; rank < world; ++rank)
    ranks.emplace_back(numbers(samples), options(global, micro, rank, world));
  return ranks;
}

class FailingDataset : public Dataset {
 public:
  int64_t size() const override { return 100; }
  Batch fetch(std::span<const int64_t> samples, int64_t) const override {
    for (int64_t sample : samples) {
      if (sample == 17) throw IoError("shard-3.bin: cannot read");
    }
    return {.inputs = {{"input", at::zeros({1})}, {"label", at::zeros({1})}}};
  }
};

// The first batch comes only when the consumer has been seen asleep, and takes a while then.
class LateDataset : public Dataset {
 public:
  int64_t size() const override { return 100; }
  Batch fetch(std::span<const int64_t> samples, int64_t) const override {
    if (!late_) {
      while (consumer_ == 0 || !asleep(consumer_)) std::this_thread::yield();
      const auto begin = std::chrono::steady_clock::now();
      while (std::chrono::steady_clock::now() - begin < std::chrono::milliseconds(5))
        std::this_thread::yield();
      late_ = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    const at::Tensor x = at::zeros({static_cast<int64_t>(samples.size())});
    return {.inputs = {{"input", x}, {"label", x}}};
  }
  void expect_me() { consumer_ = gettid(); }
  double late_seconds() const { return late_.value(); }

 private:
  static bool asleep(pid_t thread) {
    std::ifstream stat("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string line;
    std::getline(stat, line);
    return line.find(") S ") != std::string::npos;
  }
  std::atomic<pid_t> consumer_ = 0;
  mutable std::optional<double> late_;  // the loader's thread writes it before the consumer may read
};

}  // namespace

TEST_CASE("a permutation hits every index once, for every small size and for awkward large ones") {
  for (int64_t n : {1, 2, 3, 4, 5, 7, 16, 17, 63, 64, 65, 1000, 4097, 100'003}) {
    std::vector<char> seen(n, 0);
    const Permutation permutation(n, tensor::RandomKey(42));
    for (int64_t i = 0; i < n; ++i) ++seen.at(permutation(i));
    CHECK(std::count(seen.begin(), seen.end(), 1) == n);
  }
  for (const int64_t n : {int64_t{1} << 40, int64_t{1} << 62}) {
    const Permutation huge(n, tensor::RandomKey(1));
    std::set<int64_t> values;
    for (int64_t i = n - 1000; i < n; ++i) values.insert(huge(i));
    CHECK(values.size() == 1000);
    CHECK(*values.begin() >= 0);
    CHECK(*values.rbegin() < n);
  }
}

TEST_CASE("a permutation is random: places, neighbours and keys are not related") {
  const int64_t n = 997;
  std::vector<int64_t> counts(10, 0);
  int64_t ascending = 0;
  int64_t fixed = 0;
  for (uint64_t key = 0; key < 200; ++key) {
    const Permutation permutation(n, tensor::RandomKey(3).at_step(key));
    ++counts.at(permutation(0) * 10 / n);
    for (int64_t i = 0; i + 1 < n; ++i) ascending += permutation(i) < permutation(i + 1) ? 1 : 0;
    for (int64_t i = 0; i < n; ++i) fixed += permutation(i) == i ? 1 : 0;
  }
  double chi2 = 0;
  for (int64_t count : counts) chi2 += (count - 20.0) * (count - 20.0) / 20.0;
  CHECK(chi2 < 27.9);  // 9 degrees of freedom, p = 0.001
  CHECK(std::abs(ascending / (200.0 * (n - 1)) - 0.5) < 0.005);
  CHECK(std::abs(fixed - 200) < 60);  // one fixed point per permutation on average
}

TEST_CASE("every layout sees the same global batches, each sample once per epoch") {
  const int64_t samples = 37;  // not a multiple of the batch: epochs end inside a batch
  std::vector<Loader> reference = layout(samples, 12, 12, 1);
  struct {
    int64_t micro, world;
  } shapes[] = {{3, 1}, {3, 2}, {1, 3}, {4, 3}, {3, 4}, {1, 4}};
  std::vector<std::vector<Loader>> others;
  for (const auto& shape : shapes) others.push_back(layout(samples, 12, shape.micro, shape.world));
  std::vector<int64_t> stream;
  for (int64_t step = 0; step < 40; ++step) {
    const std::vector<int64_t> rows = global_rows(reference, 12);
    for (auto& ranks : others) CHECK(global_rows(ranks, 12) == rows);
    stream.insert(stream.end(), rows.begin(), rows.end());
  }
  std::vector<std::vector<int64_t>> epochs;
  for (size_t begin = 0; begin + samples <= stream.size(); begin += samples) {
    epochs.emplace_back(stream.begin() + begin, stream.begin() + begin + samples);
    CHECK(std::set<int64_t>(epochs.back().begin(), epochs.back().end()).size() == samples);
  }
  CHECK(epochs.at(0) != epochs.at(1));
  CHECK(reference[0].samples_consumed() == 480);
  CHECK(reference[0].epoch() == doctest::Approx(480.0 / 37));
}

TEST_CASE("a restart in mid-epoch goes on where it stopped, with any world size") {
  std::vector<Loader> whole = layout(50, 12, 12, 1);
  std::vector<std::vector<int64_t>> expected;
  for (int step = 0; step < 9; ++step) expected.push_back(global_rows(whole, 12));
  Json state;
  {
    std::vector<Loader> two = layout(50, 12, 2, 2);
    for (int step = 0; step < 3; ++step) CHECK(global_rows(two, 12) == expected[step]);
    two[0].next();  // a step that was begun does not count
    state = two[0].state();
    CHECK(state.dump() == R"({"samples_consumed":36,"num_samples":50,"seed":5,"shuffled":true})");
  }
  for (int64_t world : {1, 2, 3, 4}) {
    std::vector<Loader> ranks = layout(50, 12, 3, world == 3 ? 4 : world);
    if (world == 3) ranks = layout(50, 12, 2, 3);
    for (Loader& loader : ranks) loader.load_state(Json::parse(state.dump()));
    for (int step = 3; step < 9; ++step) CHECK(global_rows(ranks, 12) == expected[step]);
  }
}

TEST_CASE("batches know their step, microbatch and first row") {
  Loader loader(numbers(100), options(12, 2, 1, 3));
  std::vector<std::vector<int64_t>> seen;
  for (const Batch& batch : loader) {
    seen.push_back({batch.step, batch.microbatch, batch.first_row});
    if (seen.size() == 4) break;
  }
  CHECK(seen == std::vector<std::vector<int64_t>>{{0, 0, 2}, {0, 1, 8}, {1, 0, 2}, {1, 1, 8}});
  loader.take_wait_seconds();
  CHECK(loader.take_wait_seconds() == 0);  // taken
}

TEST_CASE("the time that a consumer waits for data is measured, and only that") {
  const auto dataset = std::make_shared<LateDataset>();
  Loader loader(dataset, options(2, 2));
  CHECK(loader.take_wait_seconds() == 0);
  const auto begin = std::chrono::steady_clock::now();
  dataset->expect_me();
  loader.next();
  const double all = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  const double waited = loader.take_wait_seconds();
  CHECK(waited >= dataset->late_seconds());
  CHECK(waited <= all);
  CHECK(loader.take_wait_seconds() == 0);
}

TEST_CASE("one pass ends after every sample came once; padding rows do not count") {
  for (int64_t world : {1, 2}) {
    std::multiset<int64_t> labels;
    for (int64_t rank = 0; rank < world; ++rank) {
      LoaderOptions once = options(4, 2, rank, world);
      once.shuffle = Shuffle::no;
      once.pass = Pass::once;
      Loader loader(numbers(5), once);
      CHECK(loader.steps_per_epoch() == 2);
      for (int pass = 0; pass < 2; ++pass) {
        int64_t batches = 0;
        for (const Batch& batch : loader) {
          ++batches;
          for (int64_t i = 0; i < 2; ++i) labels.insert(batch.label()[i].item<int64_t>());
        }
        CHECK(batches == 2 * loader.accumulation());
        CHECK(loader.next_step().empty());
        loader.seek(0);
      }
    }
    CHECK(labels.count(kIgnoredLabel) == 6);
    for (int64_t sample = 0; sample < 5; ++sample) CHECK(labels.count(sample) == 2);
  }
}

TEST_CASE("what the dataset throws in the prefetch thread reaches the consumer, each time it asks") {
  LoaderOptions in_order = options(1, 1);
  in_order.shuffle = Shuffle::no;
  Loader loader(std::make_shared<FailingDataset>(), in_order);
  for (int i = 0; i < 17; ++i) CHECK(loader.next().has_value());
  CHECK(colossal::testing::error_of([&] { loader.next(); }) == "shard-3.bin: cannot read");
  CHECK(colossal::testing::error_of([&] { loader.next(); }) == "shard-3.bin: cannot read");
  loader.seek(18);
  CHECK(loader.next().has_value());
}

TEST_CASE("a loader that nobody reads shuts down at once") {
  for (int i = 0; i < 200; ++i) Loader loader(numbers(100), options(4, 2));
}

TEST_CASE("the texts of wrong requests") {
  CHECK(colossal::testing::error_of([] { Loader(numbers(3), options(8, 2)); }) ==
        "the training data holds 3 samples, fewer than one global batch (train.global_batch_size = 8). Use "
        "more data, for text a "
        "smaller data.sequence_length, or train.global_batch_size of at most 3.");
  CHECK(colossal::testing::error_of([] { Loader(numbers(30), options(10, 4, 0, 2)); }) ==
        "train.global_batch_size = 10 is not a multiple of train.microbatch_size = 4 times 2 data-parallel "
        "ranks. Nearest: "
        "8 or 16.");
  CHECK(colossal::testing::error_of([] { Loader(numbers(30), options(0, 0)); }) ==
        "train.microbatch_size = 0. Allowed: 1 or more sequences.\ntrain.global_batch_size = 0. Allowed: 1 "
        "or more "
        "sequences.");
  Loader loader(numbers(30), options(4, 4));
  Json other = loader.state();
  other["num_samples"] = 31;
  CHECK(
      colossal::testing::error_of([&] { loader.load_state(other); }) ==
      "the training data holds 30 samples, but the checkpoint was trained on 31. Resume with the files that "
      "data.train and data.validation named then, as they were, and the same data.validation_fraction, "
      "data.sequence_length and data.tokenizer, or start a new run from the weights (model.load).");
  CHECK(colossal::testing::error_of([&] {
          loader.load_state(
              Json::parse(R"({"num_samples":30,"seed":6,"shuffled":false,"samples_consumed":0})"));
        }) ==
        "run.seed = 5, but the checkpoint was trained with 6. Set it to 6.\n"
        "data.shuffle = true, but the checkpoint was trained with false. Set it to false.");
  CHECK(colossal::testing::error_of(
            [&] { loader.load_state(Json::parse(R"({"num_samples":30,"seed":5,"shuffled":true})")); }) ==
        "data position in the checkpoint has no valid \"samples_consumed\". Allowed: an integer from 0.");
  CHECK(colossal::testing::error_of([] {
          TensorDataset(at::zeros({3, 2}), at::zeros({2}));
        }) ==
        "TensorDataset: input [3,2], label [2] hold different numbers of samples. Allowed: equal sizes along "
        "dim 0.");
}

TEST_CASE("synthetic tokens are a pure function of seed and sample, shifted by one, uniform") {
  const SyntheticTokens data(100, 64, 11, 9);
  const std::vector<int64_t> some = {5, 99, 5};
  const Batch batch = data.fetch(some, 0);
  CHECK(batch.input().sizes() == at::IntArrayRef({3, 64}));
  CHECK(at::equal(batch.input()[0], batch.input()[2]));
  CHECK_FALSE(at::equal(batch.input()[0], batch.input()[1]));
  CHECK(at::equal(batch.input().narrow(1, 1, 63), batch.label().narrow(1, 0, 63)));
  std::vector<int64_t> all(100);
  for (int64_t i = 0; i < 100; ++i) all[i] = i;
  const at::Tensor counts = at::bincount(data.fetch(all, 0).input().flatten(), {}, 11).to(at::kDouble);
  CHECK(counts.size(0) == 11);
  CHECK(((counts - 6400.0 / 11).square() / (6400.0 / 11)).sum().item<double>() <
        29.6);  // p = 0.001, 10 degrees
  CHECK_FALSE(at::equal(SyntheticTokens(100, 64, 11, 10).fetch(some, 0).input(), batch.input()));
}
