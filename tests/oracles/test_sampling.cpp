// SPDX-License-Identifier: Apache-2.0
// Sampling filters against transformers: the same kept set, values within 1e-12.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/base/file.h"
#include "colossal/base/json.h"
#include "colossal/checkpoint/safetensors.h"
#include "colossal/models/sampling.h"

using namespace colossal;
using namespace colossal::models;

namespace {

const std::filesystem::path kFolder = std::filesystem::path(COLOSSAL_ORACLES) / "sampling";

at::Tensor apply(const at::Tensor& x, const at::Tensor& ids, const std::string& name, const Json& value) {
  if (name == "temperature") return filters::temperature(x, value.get<double>());
  if (name == "top_k") return filters::top_k(x, value.get<int64_t>());
  if (name == "top_p") return filters::top_p(x, value.get<double>());
  if (name == "min_p") return filters::min_p(x, value.get<double>());
  if (name == "typical_p") return filters::typical_p(x, value.get<double>());
  if (name == "repetition_penalty") return filters::repetition_penalty(x, ids, value.get<double>());
  REQUIRE(name == "no_repeat_ngram");
  return filters::no_repeat_ngram(x, ids, value.get<int64_t>());
}

void check_equal(const at::Tensor& x, const checkpoint::SafetensorsReader& data, const std::string& name) {
  const at::Tensor logits = data.read(name + ".logits");
  const at::Tensor kept = at::isfinite(logits);
  CHECK(at::equal(at::isfinite(x), kept));
  CHECK((x - logits).masked_fill(~kept, 0).abs().max().item<double>() <= 1e-12);
  CHECK((x.softmax(-1) - data.read(name + ".probs")).abs().max().item<double>() <= 1e-12);
}

}  // namespace

TEST_CASE("each filter and each chain equals the reference") {
  const checkpoint::SafetensorsReader data(kFolder / "sampling.safetensors");
  const Json cases = Json::parse(read_file(kFolder / "sampling.json"));
  CHECK(cases.size() >= 17);
  const at::Tensor ids = data.read("input_ids");
  for (const auto& [name, steps] : cases.items()) {
    CAPTURE(name);
    at::Tensor x = data.read("logits");
    for (const Json& step : steps) x = apply(x, ids, step[0].get<std::string>(), step[1]);
    check_equal(x, data, name);
  }
}

TEST_CASE("filtered() applies what is on in the order of the reference") {
  const checkpoint::SafetensorsReader data(kFolder / "sampling.safetensors");
  const at::Tensor logits = data.read("logits");
  const at::Tensor ids = data.read("input_ids");
  check_equal(filtered(logits, ids, {.temperature = 0.8, .top_k = 12, .top_p = 0.85}), data, "chain");
  check_equal(filtered(logits, ids,
                       {.temperature = 1.3,
                        .top_k = 20,
                        .top_p = 0.95,
                        .min_p = 0.02,
                        .repetition_penalty = 1.2,
                        .no_repeat_ngram = 2}),
              data, "chain_all");
  CHECK(at::equal(filtered(logits, ids, {}), logits));
}

TEST_CASE("draws follow the probabilities, depend on the key only, and never take a removed token") {
  at::Tensor logits = at::tensor({0.0, 1.0, -1.0, 2.0}, at::kDouble).unsqueeze(0).repeat({4096, 1});
  logits.select(1, 2).fill_(-std::numeric_limits<double>::infinity());
  const at::Tensor first = sample(logits, tensor::RandomKey(7).at_step(1));
  CHECK(at::equal(first, sample(logits, tensor::RandomKey(7).at_step(1))));
  CHECK(!at::equal(first, sample(logits, tensor::RandomKey(7).at_step(2))));
  CHECK(
      at::equal(first.narrow(0, 0, 100), sample(logits.narrow(0, 0, 100), tensor::RandomKey(7).at_step(1))));
  const at::Tensor expected = logits[0].softmax(-1);
  for (int64_t token = 0; token < 4; ++token) {
    const double share = (first == token).to(at::kDouble).mean().item<double>();
    CHECK(std::abs(share - expected[token].item<double>()) < 4 * 0.5 / 64);  // 4 standard errors
    if (token == 2) CHECK(share == 0);
  }
}

TEST_CASE("options out of range are all named") {
  CHECK_THROWS_WITH_AS(check({.temperature = -1, .top_p = 0, .no_repeat_ngram = -2}),
                       "temperature = -1. Allowed: 0 (greedy) or above.\n"
                       "top_p = 0. Allowed: above 0, up to 1 (off).\n"
                       "no_repeat_ngram = -2. Allowed: 0 (off) or above.",
                       ConfigError);
}
