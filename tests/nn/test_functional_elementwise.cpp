// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/error.h"
#include "colossal/nn/functional/activation.h"
#include "colossal/nn/functional/embedding.h"
#include "colossal/nn/functional/norm.h"
#include "colossal/nn/functional/rotary.h"
#include "colossal/nn/functional/sum_rows.h"
#include "tests/nn/compare.h"

namespace {

namespace F = colossal::nn::functional;
using namespace colossal::test;

at::Tensor rms(const at::Tensor& x, const at::Tensor& w, double eps) {
  return x * (x.square().mean(-1, true) + eps).rsqrt() * w;
}

// Sizes below, at and above the 16 lanes of a vector, and several reduction blocks.
const std::vector<std::vector<int64_t>> kShapes{{1, 1, 5}, {2, 3, 16}, {1, 7, 33}, {3, 100, 48}};

TEST_CASE("layer norm and RMS norm, alone and fused with the addition, equal their formulas") {
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const auto& shape : kShapes) {
      CAPTURE(at::toString(dtype));
      CAPTURE(shape.back());
      const int64_t h = shape.back();
      const Tensors inputs{normal(shape, 1, dtype) + 3, normal(shape, 2, dtype), normal({h}, 3, dtype),
                           normal({h}, 4, dtype)};
      check_same(
          [](const Tensors& t) { return Tensors{F::layer_norm(t[0] + t[1], t[2], t[3], 1e-5)}; },
          [h](const Tensors& t) { return Tensors{at::layer_norm(t[0] + t[1], {h}, t[2], t[3], 1e-5)}; },
          inputs, tolerance);
      check_same(
          [](const Tensors& t) {
            return Tensors{F::rms_norm(t[0] + t[1], t[2], 1e-5), t[3]};
          },
          [](const Tensors& t) {
            return Tensors{rms(t[0] + t[1], t[2], 1e-5), t[3]};
          },
          inputs, tolerance);
      check_same(
          [](const Tensors& t) {
            const auto [sum, normed] = F::add_layer_norm(t[0], t[1], t[2], t[3], 1e-5);
            return Tensors{sum, normed};
          },
          [h](const Tensors& t) {
            return Tensors{t[0] + t[1], at::layer_norm(t[0] + t[1], {h}, t[2], t[3], 1e-5)};
          },
          inputs, tolerance);
      check_same(
          [](const Tensors& t) {
            const auto [sum, normed] = F::add_rms_norm(t[0], t[1], t[2], 1e-6);
            return Tensors{sum, normed, t[3]};
          },
          [](const Tensors& t) {
            return Tensors{t[0] + t[1], rms(t[0] + t[1], t[2], 1e-6), t[3]};
          },
          inputs, tolerance);
    }
  }
}

TEST_CASE("norms take fp32 master weights with bf16 activations, no bias, and strided inputs") {
  const at::Tensor x = normal({4, 6, 40}, 1, at::kBFloat16), w = normal({40}, 2, at::kFloat);
  check_same(
      [](const Tensors& t) { return Tensors{F::layer_norm(t[0].transpose(0, 1), t[1], {}, 1e-5)}; },
      [](const Tensors& t) { return Tensors{at::layer_norm(t[0].transpose(0, 1), {40}, t[1], {}, 1e-5)}; },
      {x, w}, 3e-2);
  const Tensors results =
      evaluate([](const Tensors& t) { return Tensors{F::rms_norm(t[0], t[1], 1e-5)}; }, {x, w});
  CHECK((results[0].scalar_type() == at::kBFloat16));
  CHECK((results[1].scalar_type() == at::kBFloat16));
  CHECK((results[2].scalar_type() == at::kFloat));
}

TEST_CASE("only one output of a fused norm may be used") {
  const Tensors inputs{normal({3, 20}, 1), normal({3, 20}, 2), normal({20}, 3)};
  check_same([](const Tensors& t) { return Tensors{F::add_rms_norm(t[0], t[1], t[2], 1e-5).normed}; },
             [](const Tensors& t) { return Tensors{rms(t[0] + t[1], t[2], 1e-5)}; }, inputs, 1e-12);
  check_same(
      [](const Tensors& t) {
        return Tensors{F::add_rms_norm(t[0], t[1], t[2], 1e-5).sum, t[2]};
      },
      [](const Tensors& t) {
        return Tensors{t[0] + t[1], t[2]};
      },
      inputs, 1e-12);
}

TEST_CASE("activations equal ATen's, far out on the axis too") {
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const int64_t n : {1, 15, 16, 1000, 40001}) {
      CAPTURE(at::toString(dtype));
      CAPTURE(n);
      const at::Tensor x = (at::linspace(-30, 30, n, at::kDouble)).to(dtype), u = normal({n}, 2, dtype);
      check_same(
          [](const Tensors& t) {
            return Tensors{F::gelu_tanh(t[0]), F::gelu_erf(t[0]), F::silu(t[0]), F::swiglu(t[0], t[1])};
          },
          [](const Tensors& t) {
            return Tensors{at::gelu(t[0], "tanh"), at::gelu(t[0]), at::silu(t[0]), at::silu(t[0]) * t[1]};
          },
          {x, u}, tolerance);
    }
    const at::Tensor packed = normal({3, 5, 2 * 37}, 3, dtype);
    check_same([](const Tensors& t) { return Tensors{F::swiglu(t[0])}; },
               [](const Tensors& t) {
                 const auto h = t[0].chunk(2, -1);
                 return Tensors{at::silu(h[0]) * h[1]};
               },
               {packed}, tolerance);
    check_same([](const Tensors& t) { return Tensors{F::gelu_tanh(t[0].transpose(0, 2))}; },
               [](const Tensors& t) { return Tensors{at::gelu(t[0].transpose(0, 2), "tanh")}; }, {packed},
               tolerance);
  }
}

TEST_CASE("the gradient of gelu_tanh is the limit of its differences") {
  const at::Tensor x = at::linspace(-4, 4, 81, at::kDouble).requires_grad_();
  F::gelu_tanh(x).sum().backward();
  const double step = 1e-6;
  const at::Tensor difference =
      (F::gelu_tanh(x.detach() + step) - F::gelu_tanh(x.detach() - step)) / (2 * step);
  CHECK(worst_difference(x.grad(), difference) < 1e-8);
}

TEST_CASE("rotary embedding turns element i with i + d/2 by position * frequency") {
  const std::vector<double> frequencies{1.0, 0.1, 0.01, 0.003, 0.0005};
  for (const auto& [dtype, tolerance] : kPrecisions) {
    const F::RotaryTable table = F::rotary_table(frequencies, 12, dtype, at::kCPU);
    CHECK((table.cos.scalar_type() == (dtype == at::kDouble ? at::kDouble : at::kFloat)));
    const int64_t offset = 4;
    const auto reference = [&](const Tensors& t) {
      const at::Tensor position = at::arange(offset, offset + 7, at::kDouble),
                       f = at::tensor(frequencies, at::kDouble);
      const at::Tensor angle = at::outer(position, f).unsqueeze(1), a = t[0].narrow(-1, 0, 5),
                       b = t[0].narrow(-1, 5, 5);
      return Tensors{at::cat({a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()}, -1)};
    };
    check_same([&](const Tensors& t) { return Tensors{F::apply_rotary(t[0], table, offset)}; }, reference,
               {normal({2, 7, 3, 10}, 1, dtype)}, tolerance);
    // A slice of a packed projection: neither dense nor starting at the front.
    check_same([&](const Tensors& t) { return Tensors{F::apply_rotary(t[0].select(2, 1), table, offset)}; },
               [&](const Tensors& t) { return reference({t[0].select(2, 1)}); },
               {normal({2, 7, 3, 2, 10}, 1, dtype)}, tolerance);
  }
}

TEST_CASE("embedding adds the gradients of repeated ids") {
  const at::Tensor ids = at::randint(0, 9, {4, 50}, generator(1), at::kLong);
  for (const auto& [dtype, tolerance] : kPrecisions) {
    check_same([&](const Tensors& t) { return Tensors{F::embedding(ids, t[0])}; },
               [&](const Tensors& t) { return Tensors{at::embedding(t[0], ids)}; },
               {normal({11, 21}, 2, dtype)}, tolerance);
  }
  const Tensors mixed =
      evaluate([&](const Tensors& t) { return Tensors{F::embedding(ids, t[0], at::kBFloat16)}; },
               {normal({11, 21}, 2, at::kFloat)});
  CHECK((mixed[0].scalar_type() == at::kBFloat16));
  CHECK((mixed[1].scalar_type() == at::kFloat));
}

TEST_CASE("results do not depend on the number of threads") {
  const at::Tensor ids = at::randint(0, 90, {5000}, generator(1), at::kLong);
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Tensors inputs{normal({1000, 200}, 1, dtype), normal({1000, 200}, 2, dtype),
                         normal({200}, 3, dtype), normal({200}, 4, dtype), normal({90, 200}, 5, dtype)};
    check_threads(
        [&](const Tensors& t) {
          const auto a = F::add_layer_norm(t[0], t[1], t[2], t[3], 1e-5);
          return Tensors{a.sum, a.normed, F::gelu_tanh(t[0]), F::swiglu(t[1]), F::embedding(ids, t[4])};
        },
        inputs);
  }
}

TEST_CASE("errors name the function, what was given and what is allowed") {
  const at::Tensor x = at::zeros({2, 6}), four = at::zeros({4});
  CHECK_THROWS_WITH_AS(F::layer_norm(x, four, {}, 1e-5),
                       "layer_norm: weight and bias must be [h] for x [.., h]; x is 2x6, weight 4.",
                       colossal::ShapeError);
  CHECK_THROWS_WITH_AS(
      F::add_rms_norm(x, at::zeros({2, 5}), at::zeros({6}), 1e-5),
      "add_rms_norm: x is 2x6 Float, residual 2x5 Float. Both must have the same shape and dtype.",
      colossal::ShapeError);
  CHECK_THROWS_WITH_AS(F::swiglu(at::zeros({2, 5})),
                       "swiglu: the last dimension of 2x5 must be even: [gate | up].", colossal::ShapeError);
  CHECK_THROWS_WITH_AS(F::embedding(at::tensor({1, 7}, at::kLong), at::zeros({7, 2})),
                       "embedding: id 7 (element 1) is outside the table of 7 rows (0 to 6).",
                       colossal::ShapeError);
  const std::vector<double> frequencies{1.0, 0.5};
  const F::RotaryTable table = F::rotary_table(frequencies, 8, at::kFloat, at::kCPU);
  CHECK_THROWS_WITH_AS(
      F::apply_rotary(at::zeros({1, 4, 2, 4}), table, 5),
      "apply_rotary: positions 5 to 8 of a table of 8 positions. Build the table for more positions.",
      colossal::ShapeError);
}

}  // namespace

TEST_CASE("the sum over rows: accumulated in fp32, the same bits on any number of threads") {
  const int threads = at::get_num_threads();
  const auto on_threads = [&](int count, const at::Tensor& x) {
    at::set_num_threads(count);
    at::Tensor sum = F::sum_rows(x, at::kDouble);
    at::set_num_threads(threads);
    return sum;
  };
  for (const auto& shape : std::vector<std::vector<int64_t>>{{4097, 67}, {3, 5, 2050}, {1, 9}, {0, 7}}) {
    CAPTURE(shape.front());
    for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
      CAPTURE(type);
      // Eighths that bf16 holds exactly, and fp32 their sums; bf16 would not.
      const at::Tensor x =
          (at::arange(c10::multiply_integers(shape)).remainder(101) / 8 - 3).to(type).view(shape);
      const at::Tensor exact = x.to(at::kDouble).reshape({-1, shape.back()}).sum(0);
      CHECK(at::equal(on_threads(1, x), exact));
      CHECK((F::sum_rows(x, at::kBFloat16).scalar_type() == at::kBFloat16));
      if (type == at::kHalf) continue;
      const at::Tensor rough = normal(shape, 5, type);
      CHECK(at::equal(on_threads(1, rough), on_threads(2, rough)));
    }
  }
}
