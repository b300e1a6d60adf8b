// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>
#include <fmt/ranges.h>

#include <cmath>
#include <numbers>

#include "colossal/base/error.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"

using namespace colossal;
using namespace colossal::models;

TEST_CASE("presets have the published numbers of parameters") {
  const std::pair<const char*, int64_t> published[] = {{"gpt2", 124439808},
                                                       {"gpt2-124m", 124439808},
                                                       {"gpt2-medium", 354823168},
                                                       {"gpt2-large", 774030080},
                                                       {"gpt2-xl", 1557611200},
                                                       {"gpt3-175b", 174604259328},
                                                       {"tinyllama-1.1b", 1100048384},
                                                       {"llama-7b", 6738415616},
                                                       {"llama-13b", 13015864320},
                                                       {"llama2-7b", 6738415616},
                                                       {"llama2-13b", 13015864320},
                                                       {"llama2-70b", 68976648192},
                                                       {"llama3-8b", 8030261248},
                                                       {"llama3-70b", 70553706496},
                                                       {"llama3.1-70b", 70553706496},
                                                       {"llama3.2-1b", 1235814400},
                                                       {"llama3.2-3b", 3212749824},
                                                       {"qwen2-0.5b", 494032768},
                                                       {"qwen2-1.5b", 1543714304},
                                                       {"qwen2-7b", 7615616512},
                                                       {"bert-base", 110106428},
                                                       {"bert-large", 336226108},
                                                       {"vit-tiny-16", 5717416},
                                                       {"vit-small-16", 22050664},
                                                       {"vit-base-16", 86567656},
                                                       {"vit-large-16", 304326632},
                                                       {"vit-huge-14", 632045800}};
  for (const auto& [name, count] : published) {
    CAPTURE(name);
    CHECK(count_parameters(preset(name)).total == count);
  }
  // PaLM's are published in billions, with two decimals.
  for (const auto& [name, billions] :
       {std::pair("palm-8b", 8.63), {"palm-62b", 62.50}, {"palm-540b", 540.35}}) {
    CAPTURE(name);
    CHECK(std::abs(static_cast<double>(count_parameters(preset(name)).total) / 1e9 - billions) < 0.01);
  }
}

TEST_CASE("counting: odd sizes, tied and not, grouped; matrices that every token meets") {
  // 3 layers of 30 features, 3 heads of 10, vocabulary 41, 1024 positions.
  const int64_t h = 30, layers = 3, words = 41 * h, places = 1024 * h;
  struct Expected {
    const char* family;
    int64_t ffn, block, rest;  // matrices of a block, its vectors
    int64_t outside;           // but for the words and a head of its own
    int64_t matmul;            // but for the blocks
  };
  for (const auto& [family, ffn, block, rest, outside, matmul] :
       {Expected{"gpt2", 120, 4 * h * h + 2 * h * 120, 4 * h + 120 + h + 4 * h, places + 2 * h, words},
        {"llama", 128, 2 * h * h + 2 * h * 10 + 3 * h * 128, 2 * h, h, words},
        {"qwen2", 128, 2 * h * h + 2 * h * 10 + 3 * h * 128, 2 * h + h + 20, h, words},
        {"palm", 120, 2 * h * h + 2 * h * 10 + 3 * h * 120, h, h, words},
        {"bert", 120, 4 * h * h + 2 * h * 120, 4 * h + 120 + h + 4 * h,
         places + 2 * h + 2 * h + h * h + 3 * h + 41, words + h * h}}) {
    ModelConfig c{.family = family,
                  .num_layers = layers,
                  .hidden_size = h,
                  .num_heads = 3,
                  .num_kv_heads = 1,
                  .vocab_size = 41};
    for (const bool tied : {true, false}) {
      CAPTURE(family);
      CAPTURE(tied);
      c.tie_embeddings = tied;
      const ParameterCount count = count_parameters(c);
      CHECK(complete(c).ffn_size == ffn);
      CHECK(count.total == layers * (block + rest) + outside + words + (tied ? 0 : words));
      CHECK(count.matmul == layers * block + matmul);
    }
  }
  ModelConfig vit{.family = "vit",
                  .num_layers = 1,
                  .hidden_size = h,
                  .num_heads = 3,
                  .image = {.size = 15, .patch = 5, .channels = 2, .num_classes = 11}};
  const int64_t block = 4 * h * h + 2 * h * 120, patches = 2 * 5 * 5 * h;
  CHECK(complete(vit).max_positions == 10);
  CHECK(count_parameters(vit).total ==
        block + 4 * h + 120 + h + 4 * h + 2 * h + patches + h + h + 10 * h + 11 * (h + 1));
  CHECK(count_parameters(vit).matmul == block + patches);
  ModelConfig bert{.family = "bert", .num_layers = 1, .hidden_size = h, .num_heads = 3, .vocab_size = 41};
  const ParameterCount alone = count_parameters(bert);
  bert.next_sentence = true;
  CHECK(count_parameters(bert).total == alone.total + h * h + h + 2 * h + 2);
  CHECK(count_parameters(bert).matmul == alone.matmul);
}

TEST_CASE("flops per token: 6 per matmul weight and 12 L h s") {
  const ModelConfig c = preset("gpt2-124m");
  const double matmul = 12.0 * 12 * 768 * 768 + 50257.0 * 768;
  CHECK(training_flops_per_token(c, 1024) == 6 * matmul + 12.0 * 12 * 768 * 1024);
}

TEST_CASE("weights start as GPT-2's: 0.02, residual projections smaller by sqrt(2 L), biases 0, norms 1") {
  ModelConfig c{.family = "gpt2", .num_layers = 8, .hidden_size = 64, .num_heads = 4, .vocab_size = 96};
  nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>());
  const auto model = build(c, make);
  const auto parameters = nn::parameters(*model, comm::Mesh());
  nn::initialize(parameters, 3, 0);
  for (const nn::Parameter& p : parameters) {
    CAPTURE(p.name);
    const bool residual = p.name.ends_with("out.weight") || p.name.ends_with("down.weight");
    if (p.name.ends_with(".bias")) CHECK(p.tensor.abs().max().item<float>() == 0);
    if (p.name.find("norm") != std::string::npos) {
      if (p.name.ends_with("weight")) CHECK(at::equal(p.tensor, at::ones_like(p.tensor)));
    } else if (p.name.ends_with(".weight")) {
      CHECK(p.tensor.std().item<double>() == doctest::Approx(residual ? 0.02 / 4 : 0.02).epsilon(0.06));
    }
    CHECK(p.spec.decay == (p.name.ends_with(".weight") && p.name.find("norm") == std::string::npos));
  }
}

TEST_CASE("PaLM's embedding starts at 1 and its logits are scaled; BERT's projections are not smaller") {
  const auto deviations = [](const ModelConfig& config) {
    nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>());
    const auto model = build(config, make);
    const auto parameters = nn::parameters(*model, comm::Mesh());
    nn::initialize(parameters, 3, 0);
    std::map<std::string, double> found;
    for (const nn::Parameter& p : parameters) found[p.name] = p.tensor.std().item<double>();
    return found;
  };
  ModelConfig c{.family = "palm", .num_layers = 8, .hidden_size = 64, .num_heads = 4, .vocab_size = 96};
  CHECK(complete(c).logit_scale == 0.125);
  CHECK(complete(c).num_kv_heads == 1);
  const auto palm = deviations(c);
  CHECK(palm.at("embedding.weight") == doctest::Approx(1).epsilon(0.06));
  CHECK(palm.at("blocks.7.attention.query.weight") == doctest::Approx(0.02).epsilon(0.06));
  CHECK(palm.at("blocks.7.mlp.down.weight") == doctest::Approx(0.02 / 4).epsilon(0.06));
  c.family = "bert";
  const auto bert = deviations(c);
  for (const char* name : {"embedding.weight", "blocks.7.mlp.down.weight", "blocks.7.attention.out.weight"})
    CHECK(bert.at(name) == doctest::Approx(0.02).epsilon(0.06));
}

TEST_CASE("llama3 rope keeps short wavelengths, stretches long ones, blends between") {
  Rope rope{.theta = 500000, .scaling = Rope::Scaling::llama3, .factor = 8, .original_max_positions = 8192};
  const auto plain = inverse_frequencies({.theta = 500000}, 128);
  const auto scaled = inverse_frequencies(rope, 128);
  REQUIRE(scaled.size() == 64);
  int kept = 0, stretched = 0, blended = 0;
  for (size_t i = 0; i < scaled.size(); ++i) {
    CHECK(plain[i] ==
          doctest::Approx(std::exp(-std::log(500000.0) * static_cast<double>(i) / 64)).epsilon(1e-14));
    const double wavelength = 2 * std::numbers::pi / plain[i];
    if (wavelength < 2048) {
      CHECK(scaled[i] == plain[i]);
      ++kept;
    } else if (wavelength > 8192) {
      CHECK(scaled[i] == plain[i] / 8);
      ++stretched;
    } else {
      CHECK(scaled[i] < plain[i]);
      CHECK(scaled[i] > plain[i] / 8);
      ++blended;
    }
  }
  CHECK(kept > 0);
  CHECK(stretched > 0);
  CHECK(blended > 0);
  CHECK(inverse_frequencies({.theta = 100, .scaling = Rope::Scaling::linear, .factor = 4}, 4) ==
        std::vector<double>{0.25, 0.025});
}

TEST_CASE("what a model cannot be is said in full") {
  CHECK_THROWS_WITH_AS(
      preset("gpt2-124"),
      fmt::format("model.preset = \"gpt2-124\" is unknown. Allowed: {}. Did you mean \"gpt2-124m\"?",
                  fmt::join(preset_names(), ", "))
          .c_str(),
      ConfigError);
  CHECK_THROWS_WITH_AS(complete({.family = "lama"}),
                       "model.family = \"lama\" is unknown. Allowed: gpt2, llama, qwen2, palm, bert, vit. "
                       "Did you mean \"llama\"?",
                       ConfigError);
  CHECK_THROWS_WITH_AS(
      complete({.family = "gpt2", .num_layers = 2, .hidden_size = 64, .num_heads = 5, .vocab_size = 9}),
      "model.num_heads = 5 does not divide model.hidden_size = 64. Nearest hidden sizes: 60, 65.",
      ConfigError);
  CHECK_THROWS_WITH_AS(
      complete({.family = "gpt2", .num_layers = 0, .hidden_size = 64, .num_heads = 4}),
      "model.num_layers = 0. Allowed: at least 1.\nmodel.vocab_size = 0. Allowed: at least 1.", ConfigError);
  CHECK_THROWS_WITH_AS(complete({.family = "llama",
                                 .num_layers = 1,
                                 .hidden_size = 9,
                                 .num_heads = 3,
                                 .vocab_size = 9,
                                 .dropout = 1}),
                       "model.dropout = 1. Allowed: 0 <= rate < 1.\nmodel.head_dim = 3 is odd. Allowed: even "
                       "sizes (rotary embedding).",
                       ConfigError);
  CHECK_THROWS_WITH_AS(complete({.family = "vit",
                                 .num_layers = 1,
                                 .hidden_size = 8,
                                 .num_heads = 2,
                                 .image = {.size = 28, .patch = 16, .channels = 0, .num_classes = 0}}),
                       "model.channels = 0. Allowed: at least 1.\nmodel.num_classes = 0. Allowed: "
                       "at least 1.",
                       ConfigError);
  CHECK_THROWS_WITH_AS(
      complete({.family = "vit",
                .num_layers = 1,
                .hidden_size = 8,
                .num_heads = 2,
                .image = {.size = 28, .patch = 16}}),
      "model.patch_size = 16 does not divide model.image_size = 28. Divisors: 1, 2, 4, 7, 14, 28.",
      ConfigError);
}
