// SPDX-License-Identifier: Apache-2.0
// fp16: the loss scale of an Engine finds its height.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/train/initialize.h"

using namespace colossal;
using namespace colossal::train;

namespace {

// Steps of a one-weight module with loss = slope * w under fp16's loss scale.
std::vector<StepReport> scaled_steps(const std::vector<double>& slopes, double initial_scale,
                                     NonfinitePolicy policy, std::string* error = nullptr) {
  std::vector<StepReport> reports;
  comm::run_ranks(1, [&](std::shared_ptr<comm::World> world) {
    const Context context = launch_on(std::move(world));
    auto model = std::make_shared<torch::nn::Module>();
    const at::Tensor w = model->register_parameter("w", at::ones({1}));
    Engine engine(context, model,
                  optim::make_optimizer({.name = "sgd", .weight_decay = 0},
                                        nn::parameters(*model, context.mesh), context.mesh),
                  {.on_nonfinite = policy,
                   .loss_scale = optim::LossScaleOptions{.initial = initial_scale, .interval = 2},
                   .schedule = {.learning_rate = 0.25}});
    for (const double slope : slopes) {
      const double before = w.item<double>();
      engine.zero_grad();
      engine.backward((w * slope).sum());
      try {
        reports.push_back(engine.step());
      } catch (const NumericsError& e) {
        if (error != nullptr) *error = e.what();
        return;
      }
      CHECK(w.item<double>() == before - (reports.back().applied ? 0.25 * slope : 0.0));
    }
  });
  return reports;
}

}  // namespace

TEST_CASE("fp16: an overflow halves the scale and skips the step; good steps raise it again") {
  const double big = std::ldexp(1.0, 127);  // times 4 is more than fp32 holds
  const auto reports = scaled_steps({4, 4, 1, 1, 1}, big, NonfinitePolicy::stop);
  REQUIRE(reports.size() == 5);
  const std::vector<bool> applied = {false, false, true, true, true};
  const std::vector<double> scales = {big, big / 2, big / 4, big / 4, big / 2};
  for (size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    CHECK(reports[i].applied == applied[i]);
    CHECK(reports[i].loss_scale == scales[i]);
    CHECK(reports[i].nonfinite == (applied[i] ? "" : "w"));
    if (applied[i]) CHECK(reports[i].grad_norm == 1);
  }
}

TEST_CASE("fp16: NaN that no loss scale explains is treated as without one") {
  constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
  std::string error;
  const auto reports =
      scaled_steps({1, kNotANumber, kNotANumber, kNotANumber, kNotANumber}, 4, NonfinitePolicy::stop, &error);
  CHECK(reports.size() == 3);  // scales 4 and 2 are given up first
  CHECK(error ==
        "step 4: NaN or Inf in the loss and the gradient of w on at least one rank. Nothing was updated in "
        "this "
        "step. Lower optimizer.learning_rate, set train.clip_norm, or skip such steps with "
        "train.on_nonfinite = "
        "\"skip\".");
  const auto skipped =
      scaled_steps({1, kNotANumber, kNotANumber, kNotANumber, kNotANumber, 1}, 4, NonfinitePolicy::skip);
  REQUIRE(skipped.size() == 6);
  CHECK(skipped[5].loss_scale == 1);
  CHECK(skipped[5].applied);
}
