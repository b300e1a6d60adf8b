// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/optim/adam_kernel.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/optim/loss_scaler.h"
#include "colossal/optim/optimizer.h"
#include "colossal/optim/schedule.h"
#include "colossal/optim/sharded_sums.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/random.h"

using namespace colossal;
using namespace colossal::optim;

namespace {

at::Tensor draw(const std::string& name, const tensor::Shape& shape, at::ScalarType dtype) {
  return tensor::normal(tensor::RandomKey(1).named(name), shape, {tensor::Shape(shape.size(), 0), shape}, 0,
                        1, dtype);
}

nn::Parameter parameter(const std::string& name, const tensor::Shape& shape,
                        at::ScalarType dtype = at::kFloat) {
  return {name, draw(name, shape, dtype).requires_grad_(), {.layout = tensor::Layout::replicated(shape, {})}};
}

std::string config_problem(const std::function<void()>& body) {
  try {
    body();
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "nothing thrown";
}

}  // namespace

TEST_CASE("the fp32 kernel is the fp64 one, rounded, at every length") {
  for (int64_t n : {1, 15, 16, 17, 1000, 70001}) {
    const at::Tensor w = draw("w", {n}, at::kFloat), g = draw("g", {n}, at::kFloat),
                     m = draw("m", {n}, at::kFloat);
    const at::Tensor v = draw("v", {n}, at::kFloat).square(), max = draw("max", {n}, at::kFloat).square();
    std::vector<at::Tensor> wide;
    for (const at::Tensor& t : {w, g, m, v, max}) wide.push_back(t.to(at::kDouble));
    const AdamCoefficients c{.beta1 = 0.9,
                             .beta2 = 0.95,
                             .eps = 1e-8,
                             .keep = 0.99,
                             .l2 = 0.01,
                             .step_size = 1e-2,
                             .inverse_root = 1.5,
                             .gradient_scale = 0.5};
    at::Tensor copy = at::empty({n}, at::kBFloat16);
    adam_kernel(std::vector<AdamJob<float>>{
        {{w.data_ptr<float>(), g.data_ptr<float>(), m.data_ptr<float>(), v.data_ptr<float>(),
          max.data_ptr<float>(), copy.data_ptr<at::BFloat16>()},
         n,
         c}});
    adam_kernel(std::vector<AdamJob<double>>{
        {{wide[0].data_ptr<double>(), wide[1].data_ptr<double>(), wide[2].data_ptr<double>(),
          wide[3].data_ptr<double>(), wide[4].data_ptr<double>()},
         n,
         c}});
    CHECK(at::allclose(w, wide[0].to(at::kFloat), 1e-5, 1e-6));
    CHECK(at::allclose(m, wide[2].to(at::kFloat), 1e-5, 1e-6));
    CHECK(at::allclose(v, wide[3].to(at::kFloat), 1e-5, 1e-6));
    CHECK(at::equal(copy, w.to(at::kBFloat16)));
  }
}

TEST_CASE("many tensors in one region: each element once, empty ones among them") {
  const std::vector<int64_t> sizes{3, 0, 40'000, 1, 0, 65'536, 7};
  std::vector<at::Tensor> weights, gradients, moments, squares, alone;
  std::vector<AdamJob<double>> jobs;
  const AdamCoefficients c{.beta1 = 0.9,
                           .beta2 = 0.99,
                           .eps = 1e-8,
                           .keep = 1,
                           .l2 = 0,
                           .step_size = 0.1,
                           .inverse_root = 1,
                           .gradient_scale = 1};
  const auto job = [&](const at::Tensor& w, size_t i) {
    return AdamJob<double>{{w.data_ptr<double>(), gradients[i].data_ptr<double>(),
                            moments[i].data_ptr<double>(), squares[i].data_ptr<double>()},
                           w.numel(),
                           c};
  };
  for (int pass = 0; pass < 2; ++pass) {  // together, then one by one from the same start
    moments.clear();
    squares.clear();
    for (size_t i = 0; i < sizes.size(); ++i) {
      (pass == 0 ? weights : alone).push_back(draw("w" + std::to_string(i), {sizes[i]}, at::kDouble));
      gradients.push_back(draw("g" + std::to_string(i), {sizes[i]}, at::kDouble));
      moments.push_back(at::zeros({sizes[i]}, at::kDouble));
      squares.push_back(at::zeros({sizes[i]}, at::kDouble));
      if (pass == 0) jobs.push_back(job(weights[i], i));
      if (pass == 1) adam_kernel(std::vector<AdamJob<double>>{job(alone[i], i)});
    }
    if (pass == 0) adam_kernel(jobs);
  }
  for (size_t i = 0; i < sizes.size(); ++i) CHECK(at::equal(weights[i], alone[i]));
  adam_kernel(std::vector<AdamJob<double>>{});
}

TEST_CASE("AdamW does not depend on threads, contiguity or the device path") {
  const int threads = at::get_num_threads();
  std::vector<at::Tensor> results;
  for (int variant = 0; variant < 3; ++variant) {
    at::set_num_threads(variant == 1 ? 2 : 1);
    nn::Parameter p = parameter("w", {300, 500}, at::kDouble);
    if (variant == 2)
      p.tensor = p.tensor.detach().t().contiguous().t().requires_grad_();  // the elementwise path
    p.tensor.mutable_grad() = draw("g", {300, 500}, at::kDouble);
    const auto optimizer = make_optimizer({.name = "adamw", .amsgrad = true}, {p}, comm::Mesh());
    for (int step = 0; step < 3; ++step) optimizer->step({.learning_rate = 0.1, .gradient_scale = 0.5});
    results.push_back(p.tensor.detach());
  }
  at::set_num_threads(threads);
  CHECK(at::equal(results[0], results[1]));
  CHECK(at::allclose(results[0], results[2], 1e-12, 1e-14));
}

TEST_CASE("AdamW renews a cached bf16 copy in the same pass") {
  nn::Parameter p = parameter("w", {1000});
  p.tensor.mutable_grad() = draw("g", {1000}, at::kFloat);
  const auto optimizer = make_optimizer({}, {p}, comm::Mesh());
  optimizer->step({.learning_rate = 0.1});
  CHECK_FALSE(tensor::find_cast(p.tensor, at::kBFloat16).defined());  // nobody asked for one
  const void* data = tensor::cached_cast(p.tensor, at::kBFloat16).data_ptr();
  optimizer->step({.learning_rate = 0.1});
  const at::Tensor renewed = tensor::find_cast(p.tensor, at::kBFloat16);
  REQUIRE(renewed.defined());
  CHECK(renewed.data_ptr() == data);
  CHECK(at::equal(renewed, p.tensor.detach().to(at::kBFloat16)));
  const at::Tensor kept = renewed.clone();
  optimizer->step({.learning_rate = 0.1});  // `renewed` is held here: it must not change under its holder
  CHECK(at::equal(renewed, kept));
  CHECK_FALSE(tensor::find_cast(p.tensor, at::kBFloat16).defined());
}

TEST_CASE("a step moves the version counter, leaves parameters without gradient alone, and works on meta") {
  nn::Parameter with = parameter("with", {4}), without = parameter("without", {4});
  with.tensor.mutable_grad() = at::ones({4});
  const auto version = with.tensor._version();
  const at::Tensor before = without.tensor.detach().clone();
  const auto optimizer = make_optimizer({}, {with, without}, comm::Mesh());
  optimizer->step({.learning_rate = 0.1});
  CHECK(with.tensor._version() > version);
  CHECK(at::equal(without.tensor, before));
  for (const char* name : {"adamw", "adam", "sgd"}) {
    nn::Parameter ghost{"ghost",
                        at::empty({4, 4}, at::device(at::kMeta)).requires_grad_(),
                        {.layout = tensor::Layout::replicated({4, 4}, {})}};
    ghost.tensor.mutable_grad() = at::empty({4, 4}, at::device(at::kMeta));
    make_optimizer({.name = name}, {ghost}, comm::Mesh())->step({.learning_rate = 0.1});
  }
}

TEST_CASE("state saved and loaded in place continues bit for bit") {
  for (const char* name : {"adamw", "sgd", "adafactor", "lamb", "lars"}) {
    CAPTURE(name);
    const OptimizerOptions options{
        .name = name, .momentum = std::string(name) == "adamw" || std::string(name) == "lamb" ? 0 : 0.9};
    nn::Parameter a = parameter("w", {6, 5}), b = parameter("w", {6, 5});
    auto first = make_optimizer(options, {a}, comm::Mesh());
    const auto step = [](Optimizer& o, nn::Parameter& p, int k) {
      p.tensor.mutable_grad() = draw("g" + std::to_string(k), {6, 5}, at::kFloat);
      o.step({.learning_rate = 0.01});
    };
    for (int k = 0; k < 3; ++k) step(*first, a, k);
    auto second = make_optimizer(options, {b}, comm::Mesh());
    b.tensor.detach().copy_(a.tensor.detach());
    const auto from = first->state();
    auto to = second->state();
    REQUIRE(from.size() == to.size());
    for (size_t i = 0; i < from.size(); ++i) {
      CHECK(from[i].name == to[i].name);
      CHECK(from[i].local.numel() == from[i].layout.local_numel());
      to[i].local.copy_(from[i].local);
    }
    second->load_scalars(Json::parse(first->scalars().dump()));
    for (int k = 3; k < 6; ++k) {
      step(*first, a, k);
      step(*second, b, k);
    }
    CHECK(at::equal(a.tensor, b.tensor));
    CHECK(second->num_steps() == 6);
  }
}

TEST_CASE("Adafactor keeps rows and columns of the last two logical dims") {
  nn::Parameter fused{"qkv",
                      draw("qkv", {6, 4}, at::kFloat).requires_grad_(),
                      {.layout = tensor::Layout::replicated({3, 2, 4}, {})}};
  const auto state =
      make_optimizer({.name = "adafactor"}, {fused, parameter("b", {5})}, comm::Mesh())->state();
  REQUIRE(state.size() == 3);
  CHECK(state[0].name == "exp_avg_sq_row.qkv");
  CHECK(state[0].layout.shape() == tensor::Shape{3, 2});
  CHECK(state[1].name == "exp_avg_sq_col.qkv");
  CHECK(state[1].layout.shape() == tensor::Shape{3, 4});
  CHECK(state[2].name == "exp_avg_sq.b");
}

TEST_CASE("sum of squares: exact, whatever the threads") {
  const at::Tensor x = draw("x", {100'003}, at::kFloat);
  const double expected = x.to(at::kDouble).square().sum().item<double>();
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const double one = sum_of_squares(x).item<double>();
  at::set_num_threads(2);
  const double two = sum_of_squares(x).item<double>();
  at::set_num_threads(threads);
  CHECK(one == two);
  CHECK(std::abs(one / expected - 1) < 1e-13);
  CHECK(sum_of_squares(at::full({3}, 1e30f)).item<double>() == doctest::Approx(3e60));  // no overflow in fp32
  CHECK(sum_of_squares(at::full({20}, 2.0, at::kBFloat16)).item<double>() == doctest::Approx(80));
}

TEST_CASE("gradient norm, clipping and the parameter that spoils it") {
  std::vector<nn::Parameter> ps{parameter("a", {3}), parameter("b", {2, 2}), parameter("c", {5})};
  ps[0].tensor.mutable_grad() = at::full({3}, 2.0f);
  ps[1].tensor.mutable_grad() = at::full({2, 2}, 1.0f);
  GradientNorm norm = gradient_norm(ps, comm::Mesh());  // c has none
  CHECK(norm.value == doctest::Approx(4.0).epsilon(1e-15));
  CHECK(norm.nonfinite.empty());
  CHECK(clip_factor(norm.value, 1) == doctest::Approx(0.25).epsilon(1e-6));
  CHECK(clip_factor(norm.value, 5) == 1);
  CHECK(clip_factor(norm.value, 0) == 1);
  ps[1].tensor.grad()[1][0] = std::numeric_limits<float>::quiet_NaN();
  ps[2].tensor.mutable_grad() = at::full({5}, std::numeric_limits<float>::infinity());
  norm = gradient_norm(ps, comm::Mesh());
  CHECK_FALSE(std::isfinite(norm.value));
  CHECK(norm.nonfinite == "b");
}

TEST_CASE("loss scale: backs off at once, grows after a run of good steps, survives a checkpoint") {
  LossScaler scaler({.initial = 1024, .interval = 3});
  scaler.update(false);
  CHECK(scaler.scale() == 512);
  CHECK(scaler.num_skipped() == 1);
  scaler.update(true);
  scaler.update(true);
  LossScaler restored({.initial = 1, .interval = 3});
  restored.load_state(Json::parse(scaler.state().dump()));
  for (LossScaler* s : {&scaler, &restored}) {
    CHECK(s->scale() == 512);
    s->update(true);
    CHECK(s->scale() == 1024);
    s->update(true);
    s->update(true);
    s->update(false);
    s->update(true);
    s->update(true);
    CHECK(s->scale() == 512);
    s->update(true);
    CHECK(s->scale() == 1024);
    CHECK(s->num_skipped() == 2);
  }
}

TEST_CASE("wrong optimizers and schedules are refused with all problems") {
  CHECK(config_problem([] { make_optimizer({.name = "adamv"}, {}, comm::Mesh()); }) ==
        "optimizer.name = \"adamv\" is not an optimizer. Allowed: adamw, adam, sgd, adafactor, lamb, lars. "
        "Did you mean \"adamw\"?");
  CHECK(config_problem([] {
          make_optimizer({.name = "lamb", .beta1 = 1, .weight_decay = -1, .momentum = 0.9, .amsgrad = true},
                         {}, comm::Mesh());
        }) ==
        "optimizer.beta1 = 1 is out of range. Allowed: 0 to below 1.\n"
        "optimizer.weight_decay = -1 is negative. Usual: 0 to 0.1.\n"
        "optimizer.momentum is not known to lamb. Known to: sgd, lars, adafactor.\n"
        "optimizer.amsgrad is not known to lamb. Known to: adamw, adam.");
  CHECK(config_problem([] { make_optimizer({.name = "sgd", .nesterov = true}, {}, comm::Mesh()); }) ==
        "optimizer.nesterov needs optimizer.momentum above 0. Usual: 0.9.");
  CHECK_THROWS_WITH_AS(make_optimizer({}, {parameter("w", {2}, at::kBFloat16)}, comm::Mesh()),
                       "optimizer: parameter w is BFloat16. Weights to be trained are float or double; low "
                       "precision is for compute.",
                       ShapeError);
  CHECK(config_problem([] { make_schedule({.name = "cosin", .total_steps = 10, .min_ratio = 2}); }) ==
        "schedule.name = \"cosin\" is not a schedule. Allowed: constant, linear, cosine, cosine_restarts, "
        "polynomial, inverse_sqrt, "
        "wsd. Did you mean \"cosine\"?\nschedule.min_ratio = 2 is out of range. Allowed: 0 to 1.");
  CHECK(config_problem([] {
          make_schedule(
              {.name = "wsd", .warmup_steps = 5, .total_steps = 10, .decay_steps = 6, .decay = "cosin"});
        }) ==
        "schedule.decay_steps = 6 does not fit: 10 steps, 5 of them warm-up. Allowed: 0 to 5.\n"
        "schedule.decay = \"cosin\" is not a form of decay. Allowed: cosine, linear, 1-sqrt.");
  CHECK(config_problem([] { make_schedule({.name = "linear", .warmup_steps = 11, .total_steps = 10}); }) ==
        "schedule.warmup_steps = 11 is beyond the 10 steps of the run.");
}
