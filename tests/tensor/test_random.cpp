// SPDX-License-Identifier: Apache-2.0
#include <ATen/Parallel.h>
#include <doctest/doctest.h>

#include <cmath>

#include "colossal/base/error.h"
#include "colossal/tensor/philox.h"
#include "colossal/tensor/philox_on_device.h"
#include "colossal/tensor/random.h"

using namespace colossal;
using namespace colossal::tensor;

namespace {

const RandomKey kKey = RandomKey(7).named("blocks.0.weight");

Slice whole(const Shape& shape) { return {Shape(shape.size(), 0), shape}; }

at::Tensor narrow(at::Tensor full, const Slice& slice) {
  for (size_t d = 0; d < slice.size.size(); ++d)
    full = full.narrow(static_cast<int64_t>(d), slice.offset[d], slice.size[d]);
  return full;
}

double mean_of(const at::Tensor& x) { return x.to(at::kDouble).mean().item<double>(); }

}  // namespace

TEST_CASE("philox known answers") {  // the vectors published with Random123
  using Words = std::array<uint32_t, 4>;
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  const uint32_t f = 0xffffffff;
  CHECK(philox({f, f, f, f}, {f, f}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("the vector kernel is the reference, block by block") {
  const uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210;
  const int64_t first_tile = (int64_t{1} << 28) - 2;  // the block counter passes 2^32
  std::vector<uint32_t> words(4 * kTile);
  random_words(seed, stream, first_tile, 4, words.data());
  for (int64_t i = 0; i < 4 * kTile; ++i) {
    const uint64_t block = static_cast<uint64_t>(first_tile + i / 64) * 16 + i % 16;
    const auto expected =
        philox({uint32_t(block), uint32_t(block >> 32), uint32_t(stream), uint32_t(stream >> 32)},
               {uint32_t(seed), uint32_t(seed >> 32)});
    REQUIRE(words[i] == expected[i / 16 % 4]);
  }
}

TEST_CASE("all instruction sets make the same words") {
  const auto kernels = random_words_kernels();
  const uint64_t seed = 0xfedcba9876543210, stream = 0x0123456789abcdef;
  for (uint64_t first_block : {uint64_t{0}, uint64_t{0xfffffff0}, uint64_t{0x123456789a0}}) {
    std::vector<uint32_t> expected(kTile), words(kTile);
    kernels[0].tile(seed, stream, first_block, expected.data());
    for (const RandomWords& kernel : kernels) {
      CAPTURE(kernel.name);
      kernel.tile(seed, stream, first_block, words.data());
      CHECK(words == expected);
    }
  }
}

TEST_CASE("normals are Box-Muller of their words") {
  std::vector<uint32_t> words(64 * kTile);
  std::vector<double> z(64 * kTile);
  random_words(3, 4, 10, 64, words.data());
  random_normals(3, 4, 10, 64, z.data());
  double worst = 0;
  for (size_t i = 0; i < z.size(); i += 32) {
    for (size_t j = i; j < i + 16; ++j) {
      const double radius = std::sqrt(-2 * std::log((words[j] + 0.5) * 0x1p-32)),
                   angle = words[j + 16] * 0x1p-31 * M_PI;
      worst = std::max(
          {worst, std::abs(z[j] - radius * std::cos(angle)), std::abs(z[j + 16] - radius * std::sin(angle))});
    }
  }
  CHECK(worst < 5e-15);
}

TEST_CASE("streams differ by seed, name and step, and are stable") {
  const Shape shape{4};
  auto draw = [&](const RandomKey& key) { return uniform(key, shape, whole(shape), 0, 1, at::kDouble); };
  const RandomKey root(1);
  const std::vector<at::Tensor> drawn = {draw(root),
                                         draw(RandomKey(2)),
                                         draw(root.named("a")),
                                         draw(root.named("b")),
                                         draw(root.at_step(0)),
                                         draw(root.at_step(1)),
                                         draw(root.named("a").named("b")),
                                         draw(root.named("b").named("a")),
                                         draw(root.named("")),
                                         draw(root.named("a").at_step(1))};
  for (size_t i = 0; i < drawn.size(); ++i) {
    for (size_t j = 0; j < i; ++j) CHECK_FALSE(at::equal(drawn[i], drawn[j]));
  }
  CHECK(at::equal(draw(root.named("a").at_step(1)), drawn.back()));
  // Golden: a change here changes every run.
  CHECK(root.named("wte.weight").at_step(3).stream() == 13201673810021133638u);
}

TEST_CASE("a slice is the slice of the whole, any alignment") {
  const Shape shape{5, 7, 130};
  const std::vector<Slice> slices = {whole(shape),
                                     {{1, 0, 0}, {2, 7, 130}},
                                     {{0, 3, 0}, {5, 2, 130}},
                                     {{2, 1, 65}, {3, 5, 65}},
                                     {{0, 0, 129}, {5, 7, 1}},
                                     {{4, 6, 3}, {1, 1, 70}},
                                     {{0, 0, 0}, {5, 0, 130}}};
  for (const Slice& s : slices) {
    for (at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
      CHECK(at::equal(normal(kKey, shape, s, 1, 2, dtype),
                      narrow(normal(kKey, shape, whole(shape), 1, 2, dtype), s)));
      CHECK(at::equal(uniform(kKey, shape, s, -1, 2, dtype),
                      narrow(uniform(kKey, shape, whole(shape), -1, 2, dtype), s)));
      CHECK(at::equal(dropout_mask(0.3, kKey, shape, s, dtype),
                      narrow(dropout_mask(0.3, kKey, shape, whole(shape), dtype), s)));
    }
    CHECK(at::equal(random_ints(kKey, shape, s, -5, 1000),
                    narrow(random_ints(kKey, shape, whole(shape), -5, 1000), s)));
  }
}

TEST_CASE("slices of random layouts agree with the whole") {
  const MeshShape mesh({{"a", 2}, {"b", 3}, {"c", 2}});
  const std::vector<std::vector<Axes>> layouts = {
      {{"a"}, {"b"}}, {{"b", "a"}, {}}, {{}, {"c", "b"}}, {{"a", "c"}, {"b"}}};
  const Shape shape{24, 36};
  const at::Tensor full = normal(kKey, shape, whole(shape), 0, 0.02, at::kFloat);
  for (const auto& dims : layouts) {
    const Layout layout(shape, mesh, dims);
    for (int rank = 0; rank < mesh.size(); ++rank) {
      const Slice s = layout.slice(rank);
      CHECK(at::equal(normal(kKey, shape, s, 0, 0.02, at::kFloat), narrow(full, s)));
    }
  }
}

TEST_CASE("values do not depend on threads or dtype") {
  const Shape shape{300, 211};
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const at::Tensor one = normal(kKey, shape, whole(shape), 0, 1, at::kDouble);
  at::set_num_threads(2);
  const at::Tensor two = normal(kKey, shape, whole(shape), 0, 1, at::kDouble);
  at::set_num_threads(threads);
  CHECK(at::equal(one, two));
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16})
    CHECK(at::equal(one.to(dtype), normal(kKey, shape, whole(shape), 0, 1, dtype)));
}

TEST_CASE("statistics") {
  const Shape shape{1000, 1000};
  const at::Tensor z = normal(kKey, shape, whole(shape), 0, 1, at::kDouble);
  CHECK(std::abs(mean_of(z)) < 4e-3);  // 4 sigma of a million
  CHECK(std::abs(mean_of(z * z) - 1) < 4 * std::sqrt(2e-6));
  CHECK(std::abs(mean_of(z.pow(3))) < 4 * std::sqrt(15e-6));
  CHECK(std::abs(mean_of(z.pow(4)) - 3) < 4 * std::sqrt(96e-6));
  CHECK(z.abs().max().item<double>() < 6.8);
  const at::Tensor correlation = (z.narrow(1, 0, 999) * z.narrow(1, 1, 999)).mean();
  CHECK(std::abs(correlation.item<double>()) < 4e-3);
  CHECK(std::abs((z.narrow(1, 0, 900) * z.narrow(1, 16, 900)).mean().item<double>()) <
        4.3e-3);  // the pairs of Box-Muller

  const at::Tensor u = uniform(kKey, shape, whole(shape), 0, 1, at::kDouble);
  CHECK(u.min().item<double>() > 0);
  CHECK(u.max().item<double>() < 1);
  const at::Tensor counts = at::histc(u, 100, 0, 1);  // chi-square with 99 degrees of freedom: 99 +- 14
  CHECK((counts - 1e4).pow(2).sum().item<double>() / 1e4 < 160);

  const at::Tensor k = random_ints(kKey, shape, whole(shape), -3, 4);
  CHECK(k.min().item<int64_t>() == -3);
  CHECK(k.max().item<int64_t>() == 3);
  CHECK(std::abs(mean_of(k)) < 4 * 2e-3);
  const at::Tensor wide = random_ints(kKey, {1000}, whole({1000}), 0, int64_t{1} << 32);
  CHECK(wide.max().item<int64_t>() > int64_t{4200000000});
}

TEST_CASE("dropout keeps, scales, and repeats its mask in backward") {
  const Shape shape{64, 33};
  for (at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const at::Tensor x = normal(RandomKey(1), shape, whole(shape), 0, 1, dtype).requires_grad_();
    const at::Tensor mask = dropout_mask(0.25, kKey, shape, whole(shape), dtype);
    const at::Tensor y = dropout(x, 0.25, kKey, shape, whole(shape));
    CHECK(at::allclose(y, x * mask, 1e-2));
    const at::Tensor g = normal(RandomKey(2), shape, whole(shape), 0, 1, dtype);
    y.backward(g);
    CHECK(at::allclose(x.grad(), g * mask, 1e-2));
    CHECK(at::equal(x.grad() == 0, mask == 0));
  }
  const at::Tensor mask = dropout_mask(0.25, kKey, {1000, 1000}, whole({1000, 1000}), at::kDouble);
  CHECK(std::abs(mean_of(mask) - 1) < 4 * std::sqrt(0.25 / 0.75 * 1e-6));
  CHECK(mask.max().item<double>() == 1 / 0.75);
  const at::Tensor x =
      at::ones({64, 33}).t();  // not contiguous; elements are taken in its own row-major order
  CHECK(at::equal(dropout(x, 0.25, kKey, {33, 64}, whole({33, 64})),
                  dropout_mask(0.25, kKey, {33, 64}, whole({33, 64}), at::kFloat)));
  CHECK(at::equal(dropout(x, 1, kKey, {33, 64}, whole({33, 64})), at::zeros({33, 64})));
  CHECK(dropout(x, 0, kKey, {33, 64}, whole({33, 64})).is_same(x));
}

TEST_CASE("the words made by ATen operations are the same") {
  const Shape shape{3, 5, 70};
  const Slice s{{1, 0, 3}, {2, 5, 66}};
  const at::Tensor words = words_on_device(kKey, shape, s, at::kCPU);
  const at::Tensor u = uniform(kKey, shape, s, 0, 1, at::kDouble);
  CHECK(at::equal((words.to(at::kDouble) + 0.5) * 0x1p-32, u));
}

TEST_CASE("meta tensors have shape and no values") {
  const Shape shape{8, 4};
  CHECK(normal(kKey, shape, whole(shape), 0, 1, at::kFloat, at::kMeta).is_meta());
  const at::Tensor x = at::empty({8, 4}, at::device(at::kMeta).dtype(at::kFloat)).requires_grad_();
  const at::Tensor y = dropout(x, 0.1, kKey, shape, whole(shape));
  CHECK(y.is_meta());
  y.sum().backward();
  CHECK(x.grad().sizes() == x.sizes());
}

TEST_CASE("wrong requests are refused by name") {
  const Shape shape{8, 4};
  CHECK_THROWS_WITH_AS(uniform(kKey, shape, {{4, 0}, {5, 4}}, 0, 1, at::kFloat),
                       "random numbers: the slice of size [5, 4] at [4, 0] is not inside [8, 4].",
                       ShapeError);
  CHECK_THROWS_WITH_AS(dropout(at::ones({3}), 0.1, kKey, shape, whole(shape)),
                       "dropout: x of shape [3] has 3 elements, the slice [8, 4] has 32.", ShapeError);
  CHECK_THROWS_WITH_AS(dropout(at::ones({8, 4}), 1.5, kKey, shape, whole(shape)),
                       "dropout: p = 1.5 is not a probability. Allowed: 0 to 1.", ShapeError);
  CHECK_THROWS_WITH_AS(random_ints(kKey, shape, whole(shape), 3, 3),
                       "random_ints: the range [3, 3) has no values or more than 2^32.", ShapeError);
}
