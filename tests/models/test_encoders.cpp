// SPDX-License-Identifier: Apache-2.0
// Models as functions of named inputs: what they take, what may be left out, what is said of the rest.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/models/family.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/tensor/random.h"

using namespace colossal;
using namespace colossal::models;

namespace {

ModelConfig small(const char* family) {
  ModelConfig c{.family = family, .num_layers = 2, .hidden_size = 24, .num_heads = 4, .vocab_size = 31};
  c.image = {.size = 8, .patch = 4, .channels = 2, .num_classes = 5};
  c.next_sentence = c.family == "bert";
  c.init_std = 0.3;
  return c;
}

std::shared_ptr<Model> make_model(const ModelConfig& config, double dropout = 0) {
  nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>(nn::StepState{.global_rows = 4}),
                        {.compute = at::kDouble});
  ModelConfig c = config;
  c.dropout = dropout;
  auto model = build(c, make);
  nn::initialize(nn::parameters(*model, comm::Mesh()), 1, 0);
  return model;
}

// Values for all that the model takes.
Inputs batch_for(const ModelConfig& config) {
  Inputs batch;
  for (const InputInfo& info : inputs_of(config)) {
    const tensor::RandomKey key = tensor::RandomKey(5).named(info.name);
    if (info.kind == InputInfo::Kind::pixels) {
      const tensor::Shape shape = {4, config.image.channels, config.image.size, config.image.size};
      batch[info.name] = tensor::normal(key, shape, {{0, 0, 0, 0}, shape}, 0, 1, at::kDouble);
    } else {
      const tensor::Shape shape = info.per_sequence ? tensor::Shape{4} : tensor::Shape{4, 6};
      batch[info.name] =
          tensor::random_ints(key, shape, {tensor::Shape(shape.size(), 0), shape}, 0, info.num_values);
    }
  }
  if (batch.contains("attention_mask")) {
    batch["attention_mask"].fill_(1);
    batch["attention_mask"].select(1, 5).fill_(0);
  }
  return batch;
}

std::vector<std::string> names_of(const ModelConfig& config) {
  std::vector<std::string> names;
  for (const InputInfo& info : inputs_of(config)) names.push_back(info.name);
  return names;
}

}  // namespace

TEST_CASE("what models take, and how their targets are counted") {
  using Names = std::vector<std::string>;
  CHECK(names_of(small("palm")) == Names{"input_ids", "attention_mask", "labels"});
  CHECK(names_of(small("bert")) ==
        Names{"input_ids", "attention_mask", "labels", "token_type_ids", "next_sentence_label"});
  CHECK(names_of(small("vit")) == Names{"pixel_values", "labels"});
  const TargetCounts counts = count_targets({{"input_ids", at::full({2, 3}, -100, at::kLong)},
                                             {"labels", at::tensor({1, -100, 0, 5}, at::kLong)},
                                             {"next_sentence_label", at::tensor({-100, 1}, at::kLong)}});
  CHECK(counts == TargetCounts{{"labels", 3}, {"next_sentence_label", 1}});
}

TEST_CASE("the loss is the mean of -log p over the targets of each kind of label") {
  for (const char* family : {"gpt2", "palm", "bert", "vit"}) {
    CAPTURE(family);
    const ModelConfig config = small(family);
    const auto model = make_model(config);
    Inputs batch = batch_for(config);
    batch["labels"].view({-1})[2] = kIgnored;
    const Outputs outputs = model->outputs(batch);
    CHECK(outputs.size() == (config.next_sentence ? 2 : 1));
    const auto mean = [&](const char* scores, const char* labels) {
      const at::Tensor rows = outputs.at(scores).reshape({-1, outputs.at(scores).size(-1)});
      return at::cross_entropy_loss(rows, batch.at(labels).reshape({-1})).item<double>();
    };
    double expected = mean("logits", "labels");
    if (config.next_sentence) expected += mean("seq_relationship_logits", "next_sentence_label");
    const TargetCounts counts = count_targets(batch);
    CHECK(model->loss(batch, counts).item<double>() == doctest::Approx(expected).epsilon(1e-13));
    const Losses losses = model->losses(batch, counts);
    CHECK(losses.size() == counts.size());
    CHECK(losses.at("labels").item<double>() == doctest::Approx(mean("logits", "labels")).epsilon(1e-13));
    CHECK(loss_parts(config).size() == (config.next_sentence ? 2 : 0));
    for (const auto& [labels, name] : loss_parts(config)) CHECK(losses.contains(labels));
    TargetCounts twice = counts;  // as on one of two ranks
    for (auto& [name, count] : twice) count *= 2;
    CHECK(model->loss(batch, twice).item<double>() == doctest::Approx(expected / 2).epsilon(1e-13));
  }
}

TEST_CASE("mask and token types may be left out: nothing is padding, all tokens are of type 0") {
  const ModelConfig config = small("bert");
  const auto model = make_model(config);
  Inputs batch = batch_for(config);
  const at::Tensor masked = model->outputs(batch).at("logits");
  batch["attention_mask"].fill_(1);
  batch["token_type_ids"].zero_();
  const at::Tensor logits = model->outputs(batch).at("logits");
  CHECK((masked - logits).abs().max().item<double>() > 1e-3);
  batch.erase("attention_mask");
  batch.erase("token_type_ids");
  CHECK((model->outputs(batch).at("logits") - logits).abs().max().item<double>() < 1e-12);
}

TEST_CASE("an encoder sees both ways, a decoder does not; padding is seen by neither") {
  for (const char* family : {"palm", "bert"}) {
    CAPTURE(family);
    const ModelConfig config = small(family);
    const auto model = make_model(config);
    Inputs batch = batch_for(config);
    const auto logits = [&] { return model->outputs(batch).at("logits").narrow(1, 0, 3).clone(); };
    const at::Tensor before = logits();
    batch["input_ids"].select(1, 5).add_(1).remainder_(31);  // padding
    CHECK(at::equal(logits(), before));
    batch["input_ids"].select(1, 4).add_(1).remainder_(31);
    CHECK(at::equal(logits(), before) == (config.family == "palm"));
  }
}

TEST_CASE("every block runs through what wraps it") {
  for (const char* family : {"gpt2", "bert", "vit"}) {
    CAPTURE(family);
    const ModelConfig config = small(family);
    const auto model = make_model(config);
    const Inputs batch = batch_for(config);
    const at::Tensor before = model->outputs(batch).at("logits");
    std::vector<int64_t> seen;
    model->run_blocks_with([&](int64_t index, const at::Tensor& x, const auto& run) {
      seen.push_back(index);
      return run(x);
    });
    CHECK(at::equal(model->outputs(batch).at("logits"), before));
    CHECK(seen == std::vector<int64_t>{0, 1});
  }
}

TEST_CASE("bf16 arithmetic over fp32 weights gives the loss and fp32 gradients, nearly") {
  for (const char* family : {"palm", "bert", "vit"}) {
    CAPTURE(family);
    const ModelConfig config = small(family);
    const Inputs batch = batch_for(config);
    const auto trained = [&](at::ScalarType compute) {
      nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>(), {.compute = compute});
      auto model = build(config, make);
      nn::initialize(nn::parameters(*model, comm::Mesh()), 1, 0);
      const at::Tensor loss = model->loss(batch, count_targets(batch));
      loss.backward();
      return std::pair(model, loss.item<double>());
    };
    const auto [exact, expected] = trained(at::kDouble);
    const auto [rounded, loss] = trained(at::kBFloat16);
    CHECK(loss == doctest::Approx(expected).epsilon(0.02));
    const auto ours = nn::parameters(*rounded, comm::Mesh()), theirs = nn::parameters(*exact, comm::Mesh());
    for (size_t i = 0; i < ours.size(); ++i) {
      CAPTURE(ours[i].name);
      const at::Tensor gradient = ours[i].tensor.grad(), reference = theirs[i].tensor.grad();
      REQUIRE((gradient.scalar_type() == at::kFloat));
      // Where contributions cancel (the key's bias has the gradient 0) what is left is a rounding of probabilities: 2^-8.
      CHECK((gradient - reference).norm().item<double>() <
            0.1 * reference.norm().item<double>() + std::ldexp(1.0, -8));
    }
  }
}

TEST_CASE("dropout acts in training only") {
  for (const char* family : {"palm", "bert", "vit"}) {
    CAPTURE(family);
    const ModelConfig config = small(family);
    const auto plain = make_model(config), dropping = make_model(config, 0.2);
    const Inputs batch = batch_for(config);
    const TargetCounts counts = count_targets(batch);
    const double expected = plain->loss(batch, counts).item<double>();
    CHECK(std::abs(dropping->loss(batch, counts).item<double>() - expected) > 1e-6);
    dropping->state().training = false;
    CHECK(dropping->loss(batch, counts).item<double>() == expected);
  }
}

TEST_CASE("what is missing or of the wrong kind is said") {
  const auto bert = make_model(small("bert")), vit = make_model(small("vit"));
  CHECK_THROWS_WITH_AS(vit->outputs({{"input_ids", at::zeros({1, 2}, at::kLong)}}),
                       "model: input \"pixel_values\" is missing. Given: input_ids.", ShapeError);
  CHECK_THROWS_WITH_AS(bert->outputs({}), "model: input \"input_ids\" is missing. Given: none.", ShapeError);
  CHECK_THROWS_WITH_AS(bert->outputs({{"input_ids", at::zeros({2})}}),
                       "model: ids are Float with 1 dims. Allowed: int64 [batch, sequence].", ShapeError);
  nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>());
  CHECK_THROWS_WITH_AS(
      build_language_model(small("bert"), make),
      "a model of family bert fills in masked tokens, but one that predicts the next token is "
      "needed here. Families: gpt2, llama, qwen2, palm.",
      ConfigError);
  CHECK(build_language_model(small("palm"), make) != nullptr);
}
