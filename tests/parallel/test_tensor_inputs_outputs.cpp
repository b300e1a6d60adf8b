// SPDX-License-Identifier: Apache-2.0
// Where a model begins and ends, without the vocabulary, against the dense twin in fp64: patches, token types, a linear that stands alone,
// classifiers. 17 tokens of an image and 5 rows divide by no mesh.
#include "tests/parallel/tensor_modes.h"

using namespace colossal;
using namespace colossal::testing;

TEST_CASE("patch embedding of 16 patches and a class token") {
  check_modes([](Site& site) {
    const auto patches =
        site.add("patches", site.make().patch_embedding({.image_size = 8, .patch_size = 2, .size = kWidth}));
    const auto positions =
        site.add("positions", site.make().learned_positions({.num_embeddings = 17, .size = kWidth}));
    const at::Tensor x = patches->forward(drawn("pixels", {kBatch, 3, 8, 8}));
    site.output("embedded", x, {kBatch, 17, kWidth}, Place::stream);
    site.output("placed", positions->forward(x, 0), {kBatch, 17, kWidth}, Place::stream);
  });
}

TEST_CASE("token types, given and left out") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    const auto types = site.add("types", site.make().token_types({.num_embeddings = 3, .size = kWidth}));
    const at::Tensor given = at::arange(kBatch * kLength, at::kLong).remainder(3).view({kBatch, kLength});
    site.output("typed", types->forward(x, given), kStream, Place::stream);
    site.output("of type 0", types->forward(x, {}), kStream, Place::stream);
  });
}

TEST_CASE("a linear that stands alone, from the stream to the stream") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    for (const bool bias : {true, false}) {
      const std::string name = bias ? "biased" : "plain";
      const auto linear = site.add(
          name, site.make().linear(
                    {.in = kWidth, .out = {kWidth}, .bias = bias, .role = nn::Role::keep, .init_std = 0.3}));
      site.output(name, linear->forward(x), kStream, Place::stream);
    }
  });
}

TEST_CASE("classifier of the first token, pooled and plain, some labels ignored") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    const at::Tensor labels = at::tensor({2, -100, 0, 6, 3}, at::kLong);
    for (const bool pooled : {true, false}) {
      const std::string name = pooled ? "pooled" : "plain";
      const auto classifier = site.add(
          name,
          site.make().classifier({.hidden = kWidth, .num_classes = 7, .pooled = pooled, .init_std = 0.3}));
      site.output(name + " loss", classifier->loss(x, labels, 4));
      site.output(name + " logits", classifier->logits(x));
      const auto scores = classifier->scores(x, labels);
      site.output(name + " log_probs", scores.log_probs);
      site.output(name + " right", scores.right);
    }
  });
}
