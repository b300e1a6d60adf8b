// SPDX-License-Identifier: Apache-2.0
#include "colossal/base/error.h"
#include "colossal/nn/functional/attention.h"
#include "tests/nn/compare.h"

namespace {

namespace F = colossal::nn::functional;
using namespace colossal::test;

// Straight from the definition, in [batch, sequence, heads, d].
at::Tensor dense(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                 const F::AttentionOptions& o) {
  const int64_t queries = q.size(1), keys = k.size(1), group = q.size(2) / k.size(2);
  const at::Tensor qh = q.transpose(1, 2), kh = k.transpose(1, 2).repeat_interleave(group, 1),
                   vh = v.transpose(1, 2).repeat_interleave(group, 1);
  at::Tensor visible = at::ones({q.size(0), 1, queries, keys}, at::kBool);
  if (o.causal) visible = visible.tril(keys - queries);
  if (o.key_mask.defined()) visible = visible.logical_and(o.key_mask.view({q.size(0), 1, 1, keys}));
  const double scale = o.scale != 0 ? o.scale : 1 / std::sqrt(static_cast<double>(q.size(3)));
  at::Tensor p =
      (at::matmul(qh, kh.transpose(2, 3)) * scale).masked_fill(visible.logical_not(), -1e300).softmax(-1);
  p = p.masked_fill(visible.logical_not(), 0);
  if (o.dropout_mask) p = p * o.dropout_mask();
  return at::matmul(p, vh).transpose(1, 2);
}

void check(const Tensors& inputs, const F::AttentionOptions& options, double tolerance) {
  check_same([&](const Tensors& t) { return Tensors{F::attention(t[0], t[1], t[2], options)}; },
             [&](const Tensors& t) { return Tensors{dense(t[0], t[1], t[2], options)}; }, inputs, tolerance);
}

Tensors projections(int64_t batch, int64_t queries, int64_t keys, int64_t heads, int64_t kv_heads, int64_t d,
                    at::ScalarType dtype) {
  return {normal({batch, queries, heads, d}, 1, dtype), normal({batch, keys, kv_heads, d}, 2, dtype),
          normal({batch, keys, kv_heads, d}, 3, dtype)};
}

TEST_CASE("attention equals its definition: causal or not, grouped heads, odd lengths") {
  for (const auto& [dtype, tolerance] : kPrecisions) {
    CAPTURE(at::toString(dtype));
    for (const bool causal : {false, true}) {
      CAPTURE(causal);
      check(projections(2, 7, 7, 4, 4, 8, dtype), {.causal = causal}, tolerance);
      check(projections(1, 1, 1, 2, 1, 16, dtype), {.causal = causal}, tolerance);
      check(projections(2, 33, 33, 6, 2, 12, dtype), {.causal = causal}, tolerance);
      check(projections(1, 65, 65, 3, 3, 5, dtype), {.causal = causal, .scale = 0.3}, tolerance);
    }
  }
}

TEST_CASE("attention over several tiles equals its definition") {
  for (const bool causal : {false, true}) {
    CAPTURE(causal);
    check(projections(1, 300, 300, 4, 2, 8, at::kDouble), {.causal = causal}, 1e-10);
    check(projections(1, 513, 513, 1, 1, 3, at::kDouble), {.causal = causal}, 1e-10);
  }
  check(projections(1, 140, 600, 2, 1, 4, at::kDouble), {.causal = true}, 1e-10);
  const at::Tensor mask = at::ones({2, 400}, at::kBool);
  mask[1].narrow(0, 200, 130).fill_(false);
  check(projections(2, 400, 400, 2, 2, 4, at::kDouble), {.causal = true, .key_mask = mask}, 1e-10);
}

TEST_CASE("with a cache the queries are the last positions") {
  for (const auto& [dtype, tolerance] : kPrecisions) {
    check(projections(2, 1, 9, 4, 2, 8, dtype), {.causal = true}, tolerance);
    check(projections(2, 3, 9, 4, 2, 8, dtype), {.causal = true}, tolerance);
  }
}

TEST_CASE("masked keys are invisible and rows without keys give zeros") {
  const at::Tensor mask = at::ones({3, 10}, at::kBool);
  mask[0].narrow(0, 6, 4).fill_(false);
  mask[1].narrow(0, 0, 3).fill_(false);  // causal: the first queries of this sequence see nothing
  mask[2].fill_(false);
  for (const auto& [dtype, tolerance] : kPrecisions) {
    for (const bool causal : {false, true}) {
      const Tensors inputs = projections(3, 10, 10, 4, 2, 8, dtype);
      check(inputs, {.causal = causal, .key_mask = mask}, tolerance);
      const Tensors results = evaluate(
          [&](const Tensors& t) {
            return Tensors{F::attention(t[0], t[1], t[2], {.causal = causal, .key_mask = mask})};
          },
          inputs);
      CHECK(results[0][2].abs().max().item<double>() == 0);
      for (const auto& r : results) CHECK(r.isfinite().all().item<bool>());
    }
  }
}

TEST_CASE("dropout multiplies the probabilities") {
  at::Tensor keep = at::bernoulli(at::full({2, 4, 7, 7}, 0.8, at::kDouble), generator(9)) / 0.8;
  check(projections(2, 7, 7, 4, 2, 8, at::kDouble), {.causal = true, .dropout_mask = [&] { return keep; }},
        1e-12);
}

TEST_CASE("slices of a packed projection are taken as they are") {
  check_same(
      [](const Tensors& t) {
        const auto p = t[0].unbind(2);
        return Tensors{F::attention(p[0], p[1], p[2], {})};
      },
      [](const Tensors& t) {
        const auto p = t[0].unbind(2);
        return Tensors{dense(p[0], p[1], p[2], {})};
      },
      {normal({2, 9, 3, 4, 8}, 1)}, 1e-12);
}

TEST_CASE("attention does not depend on the number of threads") {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    check_threads([](const Tensors& t) { return Tensors{F::attention(t[0], t[1], t[2], {})}; },
                  projections(3, 50, 50, 6, 2, 16, dtype));
  }
}

TEST_CASE("errors of attention") {
  const at::Tensor q = at::zeros({1, 4, 6, 8}), k = at::zeros({1, 4, 4, 8});
  CHECK_THROWS_WITH_AS(F::attention(q, k, k, {}),
                       "attention: q is 1x4x6x8, k 1x4x4x8, v 1x4x4x8. Allowed: q [batch, queries, heads, "
                       "d], k and v [batch, keys, "
                       "kv_heads, d] with heads a multiple of kv_heads.",
                       colossal::ShapeError);
  CHECK_THROWS_WITH_AS(
      F::attention(q, q.narrow(1, 0, 3), q.narrow(1, 0, 3), {}),
      "attention: 4 queries but 3 keys. Causal attention needs at least as many keys as queries.",
      colossal::ShapeError);
  CHECK_THROWS_WITH_AS(F::attention(q, q, q, {.key_mask = at::ones({1, 3}, at::kBool)}),
                       "attention: key_mask is Bool 1x3. It must be bool 1x4 (batch, keys).",
                       colossal::ShapeError);
}

}  // namespace
