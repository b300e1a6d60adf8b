// SPDX-License-Identifier: Apache-2.0
// What encoders need beside the layers of decoders: patches, token types, classifiers, a head with bias. Against plain ATen in fp64.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/nn/common/patch_embedding.h"
#include "colossal/nn/dense_factory.h"
#include "tests/nn/compare.h"

using namespace colossal;
using namespace colossal::nn;
using test::normal;

namespace {

DenseFactory double_factory() {
  return {comm::Mesh(), std::make_shared<StepState>(), {.compute = at::kDouble}};
}

// All parameters of a layer, drawn, biases too.
std::map<std::string, at::Tensor> filled(const Layer& layer) {
  const at::NoGradGuard no_grad;
  std::map<std::string, at::Tensor> found;
  uint64_t seed = 40;
  for (const Parameter& p : parameters(layer, comm::Mesh())) {
    at::Tensor(p.tensor).copy_(normal(p.tensor.sizes(), seed++));
    found[p.name] = p.tensor;
  }
  return found;
}

// Gradients of sum(y * weights) for the same weights whoever computed y.
std::vector<at::Tensor> gradients(const at::Tensor& y, const std::vector<at::Tensor>& leaves) {
  for (const at::Tensor& leaf : leaves) leaf.mutable_grad().reset();
  (y * normal(y.sizes(), 7)).sum().backward();
  std::vector<at::Tensor> found;
  for (const at::Tensor& leaf : leaves) found.push_back(leaf.grad().clone());
  return found;
}

void check_close(const at::Tensor& y, const at::Tensor& expected, const std::vector<at::Tensor>& leaves) {
  REQUIRE(y.sizes() == expected.sizes());
  CHECK((y - expected).abs().max().item<double>() < 1e-13);
  const auto ours = gradients(y, leaves), theirs = gradients(expected, leaves);
  for (size_t i = 0; i < leaves.size(); ++i) {
    CAPTURE(i);
    CHECK((ours[i] - theirs[i]).abs().max().item<double>() < 1e-13);
  }
}

}  // namespace

TEST_CASE("patches are those of a convolution whose stride is the patch, behind the class token") {
  auto make = double_factory();
  const auto layer = make.patch_embedding({.image_size = 12, .patch_size = 4, .channels = 3, .size = 5});
  const auto p = filled(*layer);
  REQUIRE(p.size() == 3);
  const at::Tensor weight = p.at("weight"), bias = p.at("bias"), token = p.at("class_token");
  for (const Parameter& each : parameters(*layer, comm::Mesh())) {
    if (each.name == "weight") CHECK(each.layout().shape() == tensor::Shape{5, 3, 4, 4});
    CHECK(each.spec.decay == (each.name != "bias"));
  }
  const at::Tensor pixels = normal({2, 3, 12, 12}, 1).requires_grad_();
  const at::Tensor patches =
      at::conv2d(pixels, weight.view({5, 3, 4, 4}), bias, 4).flatten(2).transpose(1, 2);
  check_close(layer->forward(pixels), at::cat({token.expand({2, 1, 5}), patches}, 1),
              {pixels, weight, bias, token});
  CHECK((layer->forward(normal({1, 3, 12, 12}, 2, at::kFloat)).scalar_type() == at::kDouble));
}

TEST_CASE("patches come from left to right and top to bottom, channels outermost within one") {
  const at::Tensor pixels = at::arange(2 * 4 * 6).view({1, 2, 4, 6});
  const at::Tensor patches = cut_into_patches(pixels, 2);
  REQUIRE(patches.sizes() == at::IntArrayRef{1, 6, 8});
  CHECK(at::equal(patches[0][1], at::tensor({2, 3, 8, 9, 26, 27, 32, 33}, at::kLong)));
  CHECK(at::equal(patches[0][3], at::tensor({12, 13, 18, 19, 36, 37, 42, 43}, at::kLong)));
}

TEST_CASE("images that do not fit") {
  auto make = double_factory();
  CHECK_THROWS_WITH_AS(
      make.patch_embedding({.image_size = 30, .patch_size = 8, .channels = 3, .size = 5}),
      "patch embedding: images of 30 x 30 with 3 channels, patches of 8 x 8, size 5. Allowed: "
      "sizes of at least 1, the patch a divisor of the image.",
      ShapeError);
  const auto layer = make.patch_embedding({.image_size = 8, .patch_size = 4, .channels = 1, .size = 5});
  CHECK_THROWS_WITH_AS(
      layer->forward(at::zeros({2, 3, 8, 8})),
      "patch embedding: pixels are 2x3x8x8. Allowed: 1 channels of 8 x 8 ([batch, channels, height, width]).",
      ShapeError);
}

TEST_CASE("token types add their row; without ids all tokens are of type 0") {
  auto make = double_factory();
  const auto layer = make.token_types({.num_embeddings = 3, .size = 4});
  const at::Tensor table = filled(*layer).at("weight");
  const at::Tensor x = normal({2, 3, 4}, 1).requires_grad_();
  const at::Tensor types = at::tensor({0, 2, 2, 1, 0, 2}, at::kLong).view({2, 3});
  check_close(layer->forward(x, types), x + at::embedding(table, types), {x, table});
  check_close(layer->forward(x, {}), x + table[0], {x, table});
  CHECK_THROWS_AS(layer->forward(x, types + 1), ShapeError);
}

TEST_CASE("a classifier scores the first token, pooled or as it is") {
  auto make = double_factory();
  const at::Tensor labels = at::tensor({2, -100, 0}, at::kLong);
  for (const bool pooled : {false, true}) {
    CAPTURE(pooled);
    const auto layer = make.classifier({.hidden = 6, .num_classes = 4, .pooled = pooled});
    const auto p = filled(*layer);
    CHECK(p.size() == (pooled ? 4 : 2));
    const at::Tensor x = normal({3, 5, 6}, 1).requires_grad_();
    const auto scores = [&] {
      at::Tensor first = x.select(1, 0);
      if (pooled) first = at::linear(first, p.at("pool_weight"), p.at("pool_bias")).tanh();
      return at::linear(first, p.at("weight"), p.at("bias"));
    };
    std::vector<at::Tensor> leaves = {x};
    for (const auto& [name, tensor] : p) leaves.push_back(tensor);
    check_close(layer->logits(x), scores(), leaves);
    check_close(layer->loss(x, labels, 2), at::cross_entropy_loss(scores(), labels), leaves);
    CHECK(x.grad().narrow(1, 1, 4).abs().max().item<double>() == 0);
    const at::Tensor log_p = at::log_softmax(scores(), -1);
    CHECK((layer->scores(x, labels).log_probs -
           at::stack({log_p[0][2], at::zeros({}, at::kDouble), log_p[2][0]}))
              .abs()
              .max()
              .item<double>() < 1e-13);
  }
}

TEST_CASE("a head with bias, tied and with its own weight") {
  auto make = double_factory();
  const at::Tensor ids = at::tensor({1, 2, 2, 4, 10, 1}, at::kLong).view({2, 3});
  const at::Tensor labels = ids.masked_fill(ids == 4, -100);
  for (const bool tied : {false, true}) {
    CAPTURE(tied);
    const auto embedding = make.embedding({.num_embeddings = 11, .size = 8});
    const auto head = make.head(
        {.hidden = 8, .vocab_size = 11, .bias = true, .tied_embedding = tied ? embedding : nullptr});
    const at::Tensor table = filled(*embedding).at("weight");
    const auto p = filled(*head);
    const at::Tensor weight = p.at("weight"), bias = p.at("bias");
    CHECK(weight.is_same(table) == tied);
    const auto scores = [&] { return at::linear(at::embedding(table, ids), weight, bias); };
    const at::Tensor x = embedding->forward(ids);
    check_close(head->logits(x), scores(), {table, weight, bias});
    check_close(head->loss(embedding->forward(ids), labels, 5),
                at::cross_entropy_loss(scores().view({6, 11}), labels.view({6})), {table, weight, bias});
  }
}

TEST_CASE("the tokens that are targets, in order, and their gradients") {
  auto make = double_factory();
  const at::Tensor x = normal({2, 3, 4}, 1).requires_grad_();
  const at::Tensor labels = at::tensor({-100, 7, -100, 3, -100, 9}, at::kLong).view({2, 3});
  const auto [packed, theirs] = make.targets()->forward(x, labels);
  CHECK(at::equal(theirs, at::tensor({7, 3, 9}, at::kLong).view({1, 3})));
  check_close(packed, x.reshape({6, 4}).index_select(0, at::tensor({1, 3, 5})).unsqueeze(0), {x});
  const auto nothing = make.targets()->forward(x, at::full({2, 3}, -100, at::kLong));
  CHECK(nothing.labels.eq(-100).all().item<bool>());
}
