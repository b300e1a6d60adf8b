// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/error.h"
#include "colossal/nn/functional/cross_entropy.h"
#include "colossal/nn/functional/linear.h"
#include "colossal/tensor/allocator.h"
#include "colossal/tensor/cast_cache.h"
#include "tests/nn/compare.h"

namespace {

namespace F = colossal::nn::functional;
using namespace colossal::test;

at::Tensor dense_loss(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels,
                      double n) {
  const at::Tensor logits = at::linear(hidden.reshape({-1, hidden.size(-1)}), weight);
  const at::Tensor y = labels.reshape({-1}), target = y.ne(F::kIgnoredLabel);
  const at::Tensor log_p = at::log_softmax(logits, -1).gather(1, y.clamp_min(0).unsqueeze(1)).squeeze(1);
  return -(log_p * target.to(log_p.scalar_type())).sum() / n;
}

at::Tensor labels_of(at::IntArrayRef shape, int64_t vocabulary, double ignored) {
  const at::Tensor y = at::randint(0, vocabulary, shape, generator(5), at::kLong);
  return y.masked_fill(at::rand(shape, generator(6), at::kDouble).lt(ignored), F::kIgnoredLabel);
}

TEST_CASE("linear equals x W^T + b with all gradients") {
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const auto& shape : std::vector<std::vector<int64_t>>{{1, 7}, {5, 7}, {2, 3, 7}, {64, 129, 7}}) {
      const Tensors inputs{normal(shape, 1, dtype), normal({13, 7}, 2, dtype), normal({13}, 3, dtype)};
      check_same([](const Tensors& t) { return Tensors{F::linear(t[0], t[1], t[2])}; },
                 [](const Tensors& t) { return Tensors{at::linear(t[0], t[1], t[2])}; }, inputs, tolerance);
      check_same([](const Tensors& t) { return Tensors{F::linear(t[0], t[1])}; },
                 [](const Tensors& t) { return Tensors{at::linear(t[0], t[1])}; }, {inputs[0], inputs[1]},
                 tolerance);
    }
  }
}

TEST_CASE("an activation inside linear equals the one before it") {
  using F::Activation;
  for (const Activation kind :
       {Activation::gelu_tanh, Activation::gelu_erf, Activation::silu, Activation::swiglu}) {
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
      const int64_t in = kind == Activation::swiglu ? 14 : 7;
      const Tensors inputs{normal({2, 5, in}, 1, dtype), normal({13, 7}, 2, dtype), normal({13}, 3, dtype)};
      const Tensors a = evaluate(
          [=](const Tensors& t) { return Tensors{F::activated_linear(t[0], kind, t[1], t[2])}; }, inputs);
      const Tensors b = evaluate(
          [=](const Tensors& t) { return Tensors{F::linear(F::activation(t[0], kind), t[1], t[2])}; },
          inputs);
      REQUIRE(a.size() == b.size());
      for (size_t i = 0; i < a.size(); ++i) CHECK(at::equal(a[i], b[i]));
    }
  }
  CHECK_THROWS_WITH_AS(
      F::activated_linear(at::zeros({3, 7}), Activation::swiglu, at::zeros({4, 7})),
      "linear: x is 3x7, weight 4x7, bias none. Allowed: x [.., 2 in], weight [out, in], bias [out].",
      colossal::ShapeError);
}

TEST_CASE("linear takes strided inputs and frozen weights") {
  check_same([](const Tensors& t) { return Tensors{F::linear(t[0].transpose(0, 1), t[1].t())}; },
             [](const Tensors& t) { return Tensors{at::linear(t[0].transpose(0, 1), t[1].t())}; },
             {normal({6, 4, 5}, 1), normal({5, 9}, 2)}, 1e-12);
  const at::Tensor x = normal({3, 5}, 1).requires_grad_(), w = normal({4, 5}, 2);
  F::linear(x, w).sum().backward();
  CHECK(worst_difference(x.grad(), w.sum(0).expand({3, 5})) < 1e-14);
  CHECK_FALSE(w.grad().defined());
}

TEST_CASE(
    "bf16 activations with fp32 masters: gradients of the weights are fp32 and exact sums of bf16 products") {
  const at::Tensor x = normal({300, 24}, 1, at::kBFloat16), w = normal({16, 24}, 2, at::kFloat),
                   b = normal({16}, 3, at::kFloat);
  const at::Tensor xl = x.detach().requires_grad_(), wl = w.detach().requires_grad_(),
                   bl = b.detach().requires_grad_();
  const at::Tensor y = F::linear(xl, wl, bl), dy = normal(y.sizes(), 4, at::kBFloat16);
  y.backward(dy);
  CHECK((y.scalar_type() == at::kBFloat16));
  CHECK((xl.grad().scalar_type() == at::kBFloat16));
  REQUIRE((wl.grad().scalar_type() == at::kFloat));
  REQUIRE((bl.grad().scalar_type() == at::kFloat));
  const at::Tensor dy64 = dy.to(at::kDouble);
  CHECK(worst_difference(wl.grad(), at::mm(dy64.t(), x.to(at::kDouble))) <
        1e-6);  // bf16 rounding would give 4e-3
  CHECK(worst_difference(bl.grad(), dy64.sum(0)) < 1e-6);
}

TEST_CASE("masters are cast once per version") {
  const at::Tensor w = normal({4, 4}, 1, at::kFloat).requires_grad_();
  const at::Tensor first = colossal::tensor::cached_cast(w, at::kBFloat16);
  CHECK(colossal::tensor::cached_cast(w, at::kBFloat16).is_same(first));
  const at::Tensor before = first.clone();
  {
    at::NoGradGuard no_grad;
    w.add_(1);
  }
  CHECK_FALSE(colossal::tensor::find_cast(w, at::kBFloat16).defined());
  CHECK(at::equal(colossal::tensor::cached_cast(w, at::kBFloat16), w.detach().to(at::kBFloat16)));
  CHECK_FALSE(at::equal(colossal::tensor::cached_cast(w, at::kBFloat16), before));
  colossal::tensor::drop_cast(w);
  CHECK_FALSE(colossal::tensor::find_cast(w, at::kBFloat16).defined());
  const at::Tensor own = at::ones({4, 4}, at::kBFloat16);
  colossal::tensor::store_cast(w, own);
  CHECK(colossal::tensor::cached_cast(w, at::kBFloat16).is_same(own));
  CHECK_FALSE(colossal::tensor::find_cast(w.variable_data(), at::kBFloat16).defined());
}

TEST_CASE("the fused loss equals cross-entropy of the full logits") {
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const int64_t vocabulary : {3, 127, 1000}) {
      CAPTURE(at::toString(dtype));
      CAPTURE(vocabulary);
      const at::Tensor labels = labels_of({3, 11}, vocabulary, 0.3);
      const double n = 40;  // a global count: more than the targets here
      check_same(
          [&](const Tensors& t) { return Tensors{F::fused_linear_cross_entropy(t[0], t[1], labels, n)}; },
          [&](const Tensors& t) { return Tensors{dense_loss(t[0], t[1], labels, n)}; },
          {normal({3, 11, 20}, 1, dtype), normal({vocabulary, 20}, 2, dtype)}, tolerance);
    }
  }
}

TEST_CASE("a bias is added to the logits of the fused loss") {
  const auto dense = [](const Tensors& t, const at::Tensor& labels, double n) {
    const at::Tensor logits = at::linear(t[0], t[1], t[2]).reshape({-1, t[1].size(0)});
    return at::cross_entropy_loss(logits, labels.reshape({-1}), {}, at::Reduction::Sum, F::kIgnoredLabel) / n;
  };
  for (const auto& [dtype, tolerance] : kPrecisions) {
    CAPTURE(at::toString(dtype));
    const at::Tensor labels = labels_of({3, 11}, 127, 0.3);
    check_same(
        [&](const Tensors& t) {
          return Tensors{F::fused_linear_cross_entropy(t[0], t[1], labels, 40, t[2])};
        },
        [&](const Tensors& t) { return Tensors{dense(t, labels, 40)}; },
        {normal({3, 11, 20}, 1, dtype), normal({127, 20}, 2, dtype), normal({127}, 3, dtype)}, tolerance);
  }
  const at::Tensor labels = labels_of({900}, 60000, 0.1);  // in chunks
  check_same(
      [&](const Tensors& t) { return Tensors{F::fused_linear_cross_entropy(t[0], t[1], labels, 800, t[2])}; },
      [&](const Tensors& t) { return Tensors{dense(t, labels, 800)}; },
      {normal({900, 4}, 1, at::kFloat), normal({60000, 4}, 2, at::kFloat), normal({60000}, 3, at::kFloat)},
      3e-5);
  const at::Tensor hidden = normal({4, 8}, 1), w = normal({127, 8}, 2), bias = normal({127}, 3),
                   targets = labels_of({4}, 127, 0);
  CHECK(worst_difference(
            F::token_scores(hidden, w, targets, bias).log_probs,
            at::log_softmax(at::linear(hidden, w, bias), -1).gather(1, targets.unsqueeze(1)).squeeze(1)) <
        1e-12);
}

TEST_CASE("many chunks of tokens give the loss of one") {
  const int64_t vocabulary = 60000, tokens = 900;  // more logits than are held at a time
  const at::Tensor labels = labels_of({tokens}, vocabulary, 0.1);
  check_same(
      [&](const Tensors& t) { return Tensors{F::fused_linear_cross_entropy(t[0], t[1], labels, 800)}; },
      [&](const Tensors& t) { return Tensors{dense_loss(t[0], t[1], labels, 800)}; },
      {normal({tokens, 4}, 1, at::kFloat), normal({vocabulary, 4}, 2, at::kFloat)}, 3e-5);
}

TEST_CASE("the fused loss in fp16: gradients too small for it survive loss scaling") {
  const at::Tensor labels = labels_of({5, 9}, 1000, 0.3);
  const double targets = 1e6, scale = 65536;  // a gradient of 1e-6 / 1000 is 0 in fp16
  const auto dense = [&](const Tensors& t) {
    return Tensors{dense_loss(t[0], t[1], labels, targets) * scale};
  };
  const auto fused = [&](const Tensors& t) {
    return Tensors{F::fused_linear_cross_entropy(t[0], t[1], labels, targets) * scale};
  };
  const Tensors inputs{normal({5, 9, 20}, 1, at::kHalf), normal({1000, 20}, 2, at::kHalf)};
  const Tensors ours = evaluate(fused, inputs),
                wide = evaluate(dense, {inputs[0].to(at::kDouble), inputs[1].to(at::kDouble)});
  for (size_t i = 0; i < ours.size(); ++i) {
    CAPTURE(i);
    CHECK(((ours[i] - wide[i]).norm() / wide[i].norm()).item<double>() < 2e-3);
  }
  const F::TokenScores scores = F::token_scores(inputs[0], inputs[1], labels);
  const at::Tensor logits = at::linear(inputs[0].to(at::kDouble), inputs[1].to(at::kDouble)),
                   target = labels.ne(F::kIgnoredLabel);
  const at::Tensor expected =
      at::log_softmax(logits, -1).gather(2, labels.clamp_min(0).unsqueeze(2)).squeeze(2).mul(target);
  CHECK(worst_difference(scores.log_probs, expected) < 1e-5);
  CHECK(at::equal(scores.right, logits.argmax(-1).eq(labels).to(at::kFloat)));
}

TEST_CASE("the logits of all tokens never exist together") {
  colossal::tensor::install_caching_allocator();
  const int64_t vocabulary = 60000, tokens = 2400;
  const at::Tensor labels = labels_of({tokens}, vocabulary, 0.1);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    CAPTURE(at::toString(dtype));
    const at::Tensor hidden = normal({tokens, 4}, 1, dtype).requires_grad_(),
                     weight = normal({vocabulary, 4}, 2, at::kFloat).requires_grad_();
    const int64_t before = colossal::tensor::memory_stats().live_bytes;
    colossal::tensor::reset_peak();
    F::fused_linear_cross_entropy(hidden, weight, labels, 800).backward();
    F::token_scores(hidden, weight, labels);
    CHECK(colossal::tensor::memory_stats().peak_bytes - before < vocabulary * tokens * 4 / 2);
  }
}

TEST_CASE("one token, no target at all, and logits of +-10000") {
  const at::Tensor w = normal({127, 8}, 2);
  const at::Tensor one = at::tensor({5}, at::kLong);
  check_same([&](const Tensors& t) { return Tensors{F::fused_linear_cross_entropy(t[0], t[1], one, 1)}; },
             [&](const Tensors& t) { return Tensors{dense_loss(t[0], t[1], one, 1)}; },
             {normal({1, 8}, 1), w}, 1e-12);

  const at::Tensor none = at::full({6}, F::kIgnoredLabel, at::kLong);
  const Tensors nothing =
      evaluate([&](const Tensors& t) { return Tensors{F::fused_linear_cross_entropy(t[0], t[1], none, 6)}; },
               {normal({6, 8}, 1), w});
  for (const auto& t : nothing) CHECK(t.abs().max().item<double>() == 0);

  for (const auto& [dtype, tolerance] : kPrecisions) {
    const at::Tensor labels = labels_of({9}, 127, 0.2);
    const at::Tensor steep = (normal({127, 8}, 2) * 3000).to(dtype), hidden = normal({9, 8}, 1, dtype);
    REQUIRE(at::linear(hidden, steep).abs().max().item<double>() > 1e4);
    check_same(
        [&](const Tensors& t) { return Tensors{F::fused_linear_cross_entropy(t[0], t[1], labels, 9)}; },
        [&](const Tensors& t) { return Tensors{dense_loss(t[0], t[1], labels, 9)}; }, {hidden, steep},
        tolerance);
  }
}

TEST_CASE("per-token log-probabilities, and whether the label is the likeliest") {
  const at::Tensor labels = labels_of({4, 9}, 127, 0.3), hidden = normal({4, 9, 8}, 1),
                   w = normal({127, 8}, 2);
  const auto [log_p, right] = F::token_scores(hidden, w, labels);
  REQUIRE(log_p.sizes() == labels.sizes());
  const at::Tensor best = at::linear(hidden, w).argmax(-1);
  const at::Tensor some = at::where(at::arange(9) < 4, best, labels);  // right ones among them
  CHECK(at::equal(F::token_scores(hidden, w, some).right, some.eq(best).to(at::kDouble)));
  CHECK(F::token_scores(hidden, w, some).right.sum().item<double>() >= 16);
  CHECK(at::equal(right, labels.eq(best).to(at::kDouble)));
  const at::Tensor expected =
      at::log_softmax(at::linear(hidden, w), -1).gather(2, labels.clamp_min(0).unsqueeze(2)).squeeze(2);
  CHECK(worst_difference(log_p, expected.masked_fill(labels.eq(F::kIgnoredLabel), 0)) < 1e-12);
}

TEST_CASE("the fused loss scales with the gradient that reaches it and may be differentiated twice over") {
  const at::Tensor h = normal({5, 8}, 1).requires_grad_(), w = normal({20, 8}, 2).requires_grad_(),
                   labels = labels_of({5}, 20, 0.0);
  const at::Tensor loss = F::fused_linear_cross_entropy(h, w, labels, 5);
  (loss * 3).backward({}, true);
  const at::Tensor once = w.grad().clone();
  (loss * 3).backward();
  CHECK(worst_difference(w.grad(), once * 2) < 1e-14);
  at::NoGradGuard no_grad;
  CHECK_FALSE(F::fused_linear_cross_entropy(h, w, labels, 5).requires_grad());
}

TEST_CASE("the kernels of loss and bias gradient do not depend on the number of threads") {
  // Products of this size are exact in any order of summation: small integers.
  const at::Tensor labels = labels_of({200}, 300, 0.1);
  const at::Tensor hidden = at::randint(-2, 3, {200, 8}, generator(1), at::kFloat),
                   w = at::randint(-2, 3, {300, 8}, generator(2), at::kFloat);
  const auto loss = [&](const Tensors& t) {
    return Tensors{F::token_scores(t[0], t[1], labels).log_probs, F::linear(t[0], t[1], t[2])};
  };
  check_threads(loss, {hidden, w, at::ones({300}, at::kFloat)});
}

TEST_CASE("errors of linear and loss") {
  CHECK_THROWS_WITH_AS(
      F::linear(at::zeros({2, 3}), at::zeros({4, 5})),
      "linear: x is 2x3, weight 4x5, bias none. Allowed: x [.., in], weight [out, in], bias [out].",
      colossal::ShapeError);
  const at::Tensor h = at::zeros({2, 3}), w = at::zeros({10, 3});
  CHECK_THROWS_WITH_AS(F::fused_linear_cross_entropy(h, w, at::tensor({1, 10}, at::kLong), 2),
                       "fused_linear_cross_entropy: label 10 (token 1) is outside the vocabulary. Allowed: 0 "
                       "to 9, or -100 for no target.",
                       colossal::ShapeError);
  CHECK_THROWS_WITH_AS(F::fused_linear_cross_entropy(h, w, at::tensor({1, 2}, at::kLong), 2, at::zeros({9})),
                       "fused_linear_cross_entropy: bias is 9. Allowed: 10 (the vocabulary).",
                       colossal::ShapeError);
  CHECK_THROWS_WITH_AS(F::token_scores(h, w, at::zeros({3}, at::kLong)),
                       "token_scores: hidden is 2x3, weight 10x3, labels Long 3. Allowed: hidden [.., h], "
                       "weight [vocabulary, h], labels "
                       "int64 [..].",
                       colossal::ShapeError);
}

}  // namespace
