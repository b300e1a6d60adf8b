// SPDX-License-Identifier: Apache-2.0
// initialize() and Engine with a module that is not ours: data parallelism, precision, gradients that are not finite.
#include <doctest/doctest.h>

#include <mutex>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/tensor/random.h"
#include "colossal/train/initialize.h"

using namespace colossal;
using namespace colossal::train;

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kSamples = 24, kIn = 5, kHidden = 9;

at::Tensor numbers(const char* name, const tensor::Shape& shape, double stddev = 1) {
  return tensor::normal(tensor::RandomKey(3).named(name), shape, {tensor::Shape(shape.size(), 0), shape}, 0,
                        stddev, at::kDouble);
}

// A module as users write it; `offset` makes ranks start with different weights.
struct Net : torch::nn::Module {
  explicit Net(double offset) {
    w0 = register_parameter("w0", numbers("w0", {kHidden, kIn}, 0.5) + offset);
    b0 = register_parameter("b0", at::zeros({kHidden}, at::kDouble) + offset);
    w1 = register_parameter("w1", numbers("w1", {1, kHidden}, 0.5) + offset);
    seen = register_buffer("seen", at::full({1}, 7.0 + offset, at::kDouble));
  }
  at::Tensor forward(const at::Tensor& x) { return at::linear(at::tanh(at::linear(x, w0, b0)), w1); }
  at::Tensor w0, b0, w1, seen;
};

at::Tensor squared(const at::Tensor& y, const at::Tensor& label) { return at::mse_loss(y, label); }

std::shared_ptr<data::TensorDataset> points(at::ScalarType dtype = at::kDouble) {
  const at::Tensor x = numbers("x", {kSamples, kIn});
  return std::make_shared<data::TensorDataset>(x.to(dtype), x.sin().sum(1, true).to(dtype));
}

InitializeOptions options_for(at::ScalarType precision) {
  return {.global_batch_size = 8,
          .microbatch_size = 2,
          .precision = precision,
          .pass = data::Pass::endless,
          .clip_norm = 1,
          .schedule = {.name = "linear", .learning_rate = 0.05, .warmup_steps = 2, .total_steps = 30}};
}

std::vector<at::Tensor> copies(Engine& engine) {
  std::vector<at::Tensor> out;
  for (const nn::Parameter& p : engine.optimizer().parameters()) out.push_back(p.tensor.detach().clone());
  for (const optim::StateTensor& s : engine.optimizer().state()) out.push_back(s.local.clone());
  return out;
}

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const at::Tensor& x, const at::Tensor& y) { return at::equal(x, y); });
}

// What each rank saw.
struct Seen {
  std::vector<at::Tensor> start, end;
  double start_buffer = 0;
  std::vector<StepReport> reports;
  std::vector<bool> changed;             // per step: weights or optimizer state
  double first_loss = 0, last_loss = 0;  // of the rank's microbatches
  at::ScalarType output = at::kDouble;
  std::string error;
};

struct Poison {
  int64_t step = 0;  // counted from 1; 0: none
  int rank = 0;
  enum class Where { loss, gradient, both } where = Where::both;
};

// Only the gradient of b0 is ever spoiled.
at::Tensor poisoned(const at::Tensor& loss, const Net& model, Poison::Where where) {
  switch (where) {
    case Poison::Where::loss: return loss + kNan;
    case Poison::Where::gradient: return loss + (model.b0 * 0).sum().sqrt();  // the slope of a root at 0
    case Poison::Where::both: return loss + kNan * model.b0.sum();
  }
  return loss;
}

std::vector<Seen> run_net(int ranks, int64_t steps, const InitializeOptions& options,
                          const Poison& poison = {}) {
  std::vector<Seen> all(static_cast<size_t>(ranks));
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    Seen& seen = all[static_cast<size_t>(context.rank())];
    const bool low = options.precision == at::kBFloat16 || options.precision == at::kHalf;
    auto model = std::make_shared<Net>(0.01 * context.rank());
    if (low) model->to(at::kFloat);
    auto [engine, loader] = initialize(context, model, {.name = "adamw"}, squared,
                                       points(low ? at::kFloat : options.precision), options);
    seen.start = copies(engine);
    seen.start_buffer = model->seen.item<double>();
    for (int64_t step = 1; step <= steps && seen.error.empty(); ++step) {
      const std::vector<at::Tensor> before = copies(engine);
      engine.zero_grad();
      seen.last_loss = 0;
      for (const data::Batch& batch : loader.next_step()) {
        const at::Tensor output = engine(batch.input());
        seen.output = output.scalar_type();
        at::Tensor loss = engine.criterion(output.to(batch.label().scalar_type()), batch.label());
        seen.last_loss += loss.item<double>();
        if (step == poison.step && context.rank() == poison.rank) loss = poisoned(loss, *model, poison.where);
        engine.backward(loss);
      }
      if (step == 1) seen.first_loss = seen.last_loss;
      try {
        seen.reports.push_back(engine.step());
      } catch (const NumericsError& error) {
        seen.error = error.what();
      }
      seen.changed.push_back(!equal(before, copies(engine)));
    }
    seen.end = copies(engine);
  });
  return all;
}

}  // namespace

TEST_CASE("a module of the user's own starts with the weights and buffers of rank 0 on all ranks") {
  const auto seen = run_net(3, 0, {.global_batch_size = 6, .precision = at::kDouble});
  const auto one = run_net(1, 0, {.global_batch_size = 6, .precision = at::kDouble});
  for (const Seen& rank : seen) {
    CHECK(equal(rank.start, one[0].start));
    CHECK(rank.start_buffer == 7.0);
  }
}

TEST_CASE("a module of the user's own learns the same on 1, 2 and 4 ranks") {
  const auto one = run_net(1, 10, options_for(at::kDouble));
  CHECK(one[0].last_loss < one[0].first_loss / 2);
  for (const int ranks : {2, 4}) {
    CAPTURE(ranks);
    for (const Seen& rank : run_net(ranks, 10, options_for(at::kDouble))) {
      REQUIRE(rank.end.size() == one[0].end.size());
      for (size_t i = 0; i < rank.end.size(); ++i)
        CHECK((rank.end[i] - one[0].end[i]).abs().max().item<double>() < 1e-12);
      for (size_t i = 0; i < 10; ++i) {
        CHECK(std::abs(rank.reports[i].grad_norm - one[0].reports[i].grad_norm) < 1e-12);
        CHECK(rank.reports[i].learning_rate == one[0].reports[i].learning_rate);
        CHECK(rank.reports[i].step == static_cast<int64_t>(i) + 1);
        CHECK(rank.reports[i].applied);
      }
    }
  }
}

TEST_CASE("step() acts only after the last microbatch of a global batch") {
  comm::run_ranks(1, [](std::shared_ptr<comm::World> world) {
    auto [engine, loader] =
        initialize(launch_on(std::move(world)), std::make_shared<Net>(0), {.name = "sgd", .weight_decay = 0},
                   squared, points(), options_for(at::kDouble));
    std::vector<bool> boundaries;
    for (const data::Batch& batch : loader) {
      engine.zero_grad();
      engine.backward(engine.criterion(engine(batch.input()), batch.label()));
      boundaries.push_back(engine.step().boundary);
      if (boundaries.size() == 8) break;
    }
    CHECK((boundaries == std::vector<bool>{false, false, false, true, false, false, false, true}));
    CHECK(engine.num_steps() == 2);
  });
}

TEST_CASE("autocast: the module computes in bf16 or fp16, weights stay fp32 and equal on all ranks") {
  for (const at::ScalarType precision : {at::kBFloat16, at::kHalf}) {
    CAPTURE(at::toString(precision));
    const auto seen = run_net(2, 20, options_for(precision));
    CHECK((seen[0].output == precision));
    CHECK((seen[0].end[0].scalar_type() == at::kFloat));
    CHECK(equal(seen[0].end, seen[1].end));
    CHECK(seen[0].last_loss < seen[0].first_loss / 2);
    CHECK(seen[0].reports[19].applied);
  }
}

namespace {

struct Spoiled {
  Poison::Where where;
  std::string in;         // what the message names
  std::string parameter;  // what the report names
};
const std::vector<Spoiled> kSpoiled = {
    {Poison::Where::loss, "the loss", ""},
    {Poison::Where::gradient, "the gradient of b0", "b0"},
    {Poison::Where::both, "the loss and the gradient of b0", "b0"},
};

}  // namespace

TEST_CASE("stop: NaN in the loss or a gradient of one rank ends the run on all ranks, with step and place") {
  for (const int ranks : {1, 2, 4}) {
    for (const Spoiled& spoiled : kSpoiled) {
      CAPTURE(ranks);
      CAPTURE(spoiled.in);
      const auto seen =
          run_net(ranks, 6, options_for(at::kDouble), {.step = 3, .rank = ranks - 1, .where = spoiled.where});
      for (const Seen& rank : seen) {
        CHECK(rank.error ==
              "step 3: NaN or Inf in " + spoiled.in +
                  " on at least one rank. Nothing was updated in this step. Lower optimizer.learning_rate, "
                  "or skip such steps with train.on_nonfinite = \"skip\".");
        CHECK((rank.changed == std::vector<bool>{true, true, false}));
      }
    }
  }
}

TEST_CASE("skip: a step with a NaN changes nothing, is reported, and training goes on") {
  InitializeOptions options = options_for(at::kDouble);
  options.on_nonfinite = NonfinitePolicy::skip;
  for (const int ranks : {1, 2, 4}) {
    for (const Spoiled& spoiled : kSpoiled) {
      CAPTURE(ranks);
      CAPTURE(spoiled.in);
      const auto seen = run_net(ranks, 5, options, {.step = 3, .rank = ranks - 1, .where = spoiled.where});
      for (const Seen& rank : seen) {
        CHECK(rank.error.empty());
        REQUIRE(rank.reports.size() == 5);
        for (size_t i = 0; i < 5; ++i) {
          CAPTURE(i);
          CHECK(rank.reports[i].applied == (i != 2));
          CHECK(rank.changed[i] == (i != 2));
          CHECK(rank.reports[i].nonfinite == (i == 2 ? spoiled.parameter : ""));
          CHECK(std::isfinite(rank.reports[i].loss) == (i != 2 || spoiled.where == Poison::Where::gradient));
          CHECK(std::isfinite(rank.reports[i].grad_norm) == (i != 2 || spoiled.where == Poison::Where::loss));
          CHECK(rank.reports[i].step == static_cast<int64_t>(i) + 1);
        }
        CHECK(equal(rank.end, seen[0].end));
      }
    }
  }
}

TEST_CASE("the loss that a step reports is that of the global batch, whatever it was cut into") {
  for (const LossScope scope : {LossScope::microbatch_mean, LossScope::global_sum}) {
    InitializeOptions options = options_for(at::kDouble);
    options.loss_scope = scope;
    const auto one = run_net(1, 3, options);
    for (const int ranks : {2, 4}) {
      for (const Seen& rank : run_net(ranks, 3, options)) {
        for (size_t i = 0; i < 3; ++i)
          CHECK(rank.reports[i].loss == doctest::Approx(one[0].reports[i].loss).epsilon(1e-12));
      }
    }
    // Four micro-batches.
    const double scale = scope == LossScope::microbatch_mean ? 4 : 1;
    CHECK(one[0].reports[0].loss * scale == doctest::Approx(one[0].first_loss).epsilon(1e-12));
  }
}

namespace {

// Steps on `ranks`, each with two micro-batches, of a loss in two parts (or their sum); and how many collectives they were.
struct Parted {
  std::vector<StepReport> reports;
  int64_t num_collectives = 0;
};
enum class Given { parts, sum };

Parted parted_steps(int ranks, Given given, LossScope scope) {
  Parted seen;
  comm::run_ranks(ranks, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    auto [engine, loader] = initialize(context, std::make_shared<Net>(0), {.name = "sgd"}, squared, points(),
                                       {.global_batch_size = 8,
                                        .microbatch_size = 4 / ranks,
                                        .precision = at::kDouble,
                                        .loss_scope = scope});
    const int64_t before = context.world->recorder().total().calls;
    std::vector<StepReport> reports;
    for (int step = 0; step < 3; ++step) {
      engine.zero_grad();
      for (const data::Batch& batch : loader.next_step()) {
        const at::Tensor y = engine(batch.input()), a = engine.criterion(y, batch.label()),
                         b = y.square().mean();
        given == Given::parts ? engine.backward({{"a", a}, {"b", b.reshape({1})}}) : engine.backward(a + b);
      }
      reports.push_back(engine.step());
    }
    if (context.rank() == 0) seen = {reports, context.world->recorder().total().calls - before};
  });
  return seen;
}

}  // namespace

TEST_CASE("the parts of a loss are reported of the global batch, add up to it, and cost no collective") {
  for (const LossScope scope : {LossScope::microbatch_mean, LossScope::global_sum}) {
    const Parted one = parted_steps(1, Given::parts, scope);
    for (const int ranks : {1, 2, 4}) {
      CAPTURE(ranks);
      const Parted parts = parted_steps(ranks, Given::parts, scope),
                   sum = parted_steps(ranks, Given::sum, scope);
      CHECK(parts.num_collectives == sum.num_collectives);
      REQUIRE(parts.reports.size() == 3);
      for (size_t i = 0; i < 3; ++i) {
        const StepReport &report = parts.reports[i], &plain = sum.reports[i];
        REQUIRE(report.loss_parts.size() == 2);
        CHECK(report.loss_parts.at("a") > 0);
        CHECK(report.loss_parts.at("b") > 0);
        CHECK(report.loss == report.loss_parts.at("a") + report.loss_parts.at("b"));
        CHECK(report.loss == doctest::Approx(plain.loss).epsilon(1e-14));
        CHECK(report.grad_norm == doctest::Approx(plain.grad_norm).epsilon(1e-14));
        CHECK((plain.loss_parts == std::map<std::string, double>{{"loss", plain.loss}}));
        // A sum over ranks and micro-batches of means over 8 / (2 ranks) samples.
        const double scale = scope == LossScope::global_sum ? ranks : 1;
        if (scope == LossScope::global_sum && i > 0) continue;  // other gradients, too
        for (const char* name : {"a", "b"})
          CHECK(report.loss_parts.at(name) ==
                doctest::Approx(scale * one.reports[i].loss_parts.at(name)).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("micro-batches of one step have the same parts, at least one") {
  comm::run_ranks(1, [](std::shared_ptr<comm::World> world) {
    auto [engine, loader] =
        initialize(launch_on(std::move(world)), std::make_shared<Net>(0), {.name = "sgd"}, squared, points(),
                   {.global_batch_size = 8, .microbatch_size = 4, .precision = at::kDouble});
    const auto loss = [&engine = engine] {
      return engine(points()->fetch(std::vector<int64_t>{0, 1}, 0).input()).mean();
    };
    engine.zero_grad();
    CHECK_THROWS_WITH_AS(engine.backward(LossParts{}),
                         "engine.backward: the loss has no part. Allowed: at least one.", ShapeError);
    engine.backward({{"a", loss()}, {"b", loss()}});
    CHECK_THROWS_WITH_AS(engine.backward({{"a", loss()}, {"c", loss()}}),
                         "engine.backward: the loss has the parts a, c, that of the first micro-batch of "
                         "this step a, b. Allowed: the same.",
                         ShapeError);
  });
}
