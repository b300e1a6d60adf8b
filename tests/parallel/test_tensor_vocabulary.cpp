// SPDX-License-Identifier: Apache-2.0
// The layers that hold the vocabulary against their dense twins in fp64: 127 words and 5 rows of 7 tokens, padded in every mode.
#include "tests/parallel/tensor_modes.h"
#include "tests/support/error.h"

using namespace colossal;
using namespace colossal::testing;

namespace {

constexpr int64_t kWords = 127;

at::Tensor some_ids(const std::string& name, int64_t rows = kBatch, int64_t length = kLength,
                    int64_t words = kWords) {
  const tensor::Shape shape = {rows, length};
  return tensor::random_ints(tensor::RandomKey(2).named(name), shape, {{0, 0}, shape}, 0, words);
}

at::Tensor some_labels() {
  at::Tensor labels = some_ids("labels");
  labels[0][3] = labels[4][6] = -100;
  labels[2].fill_(-100);
  labels[1][1] = kWords - 1;
  labels[1][2] = 0;
  return labels;
}

std::shared_ptr<nn::HeadLayer> head_of(Site& site, std::shared_ptr<nn::UnaryLayer> tied = {}) {
  return site.add(
      "head",
      site.make().head(
          {.hidden = kWidth, .vocab_size = kWords, .init_std = 0.3, .tied_embedding = std::move(tied)}));
}

}  // namespace

TEST_CASE("embedding and learned positions") {
  check_modes([](Site& site) {
    const auto table = site.add("table", site.make().embedding({.num_embeddings = kWords, .size = kWidth}));
    const auto positions =
        site.add("positions", site.make().learned_positions({.num_embeddings = 11, .size = kWidth}));
    at::Tensor ids = some_ids("ids");
    ids[0][0] = ids[1][0] = kWords - 1;
    const at::Tensor x = table->forward(ids);
    site.output("embedded", x, kStream, Place::stream);
    site.output("placed", positions->forward(x, 0), kStream, Place::stream);
    site.output("placed later", positions->forward(x, 4), kStream, Place::stream);
  });
}

TEST_CASE("ids and labels outside the vocabulary are told on every rank") {
  for (const Setup& setup : setups()) {
    CAPTURE(setup.text());
    std::vector<std::vector<std::string>> said(setup.how.size);
    comm::run_ranks(static_cast<int>(setup.how.size), [&](std::shared_ptr<comm::World> world) {
      Site site(mesh_of(world, setup.how), setup, at::kDouble);
      const auto table = site.make().embedding({.num_embeddings = kWords, .size = kWidth});
      const auto head = head_of(site);
      const at::Tensor x = site.part(drawn("x", kStream), Place::stream);
      at::Tensor labels = some_labels();
      labels[1][3] = kWords;  // in the padding, where there is some
      said[world->rank()] = {error_of<ShapeError>([&] {
                               table->forward(at::full({kBatch, kLength}, kWords, at::kLong));
                             }),
                             error_of<ShapeError>([&] { head->loss(x, labels, 1); }),
                             error_of<ShapeError>([&] { head->scores(x, labels.neg()); })};
    });
    for (const auto& texts : said) {
      CHECK(texts[0] == "embedding: id 127 is outside the table of 127 rows (0 to 126).");
      CHECK(
          texts[1] ==
          "head: label 127 (token 10) is outside the vocabulary. Allowed: 0 to 126, or -100 for no target.");
      CHECK(texts[2].starts_with("head: label -"));
    }
  }
}

TEST_CASE("head: loss, logits and log-probabilities, some labels ignored") {
  check_modes([](Site& site) {
    const auto head = head_of(site);
    const at::Tensor x = site.input("x", kStream, Place::stream);
    const at::Tensor labels = some_labels();
    site.output("loss", head->loss(x, labels, 29));
    site.output("logits", head->logits(x));
    const auto scores = head->scores(x, labels);
    site.output("log_probs", scores.log_probs);
    site.output("right", scores.right);
  });
}

TEST_CASE("head with a number per word: loss, logits, those of the last token, log-probabilities") {
  check_modes([](Site& site) {
    const auto head = site.add(
        "head", site.make().head({.hidden = kWidth, .vocab_size = kWords, .bias = true, .init_std = 0.3}));
    const at::Tensor x = site.input("x", kStream, Place::stream);
    site.output("loss", head->loss(x, some_labels(), 29));
    site.output("logits", head->logits(x));
    site.output("last", head->last_logits(x));
    site.output("log_probs", head->scores(x, some_labels()).log_probs);
  });
}

TEST_CASE("head: all labels ignored") {
  const Body body = [](Site& site) {
    const auto head = head_of(site);
    const at::Tensor x = site.input("x", kStream, Place::stream),
                     none = at::full({kBatch, kLength}, -100, at::kLong);
    site.output("loss", head->loss(x, none, 1));
    const auto scores = head->scores(x, none);
    site.output("log_probs", scores.log_probs);
    site.output("right", scores.right);
  };
  CHECK(run_dense(body).at("d head.weight").count_nonzero().item<int64_t>() == 0);
  check_modes(body, 0);
}

TEST_CASE("head: logits of +-1e4") {
  const Body body = [](Site& site) {
    const auto head = head_of(site);
    const at::Tensor x = site.input("x", drawn("x", kStream, 0, 4e3), Place::stream);
    site.output("logits", head->logits(x));
    site.output("loss", head->loss(x, some_labels(), 29));
    site.output("log_probs", head->scores(x, some_labels()).log_probs);
  };
  const Results dense = run_dense(body);
  CHECK(dense.at("logits").max().item<double>() > 1e4);
  CHECK(dense.at("logits").min().item<double>() < -1e4);
  CHECK(dense.at("loss").isfinite().item<bool>());
  check_modes(body);
}

TEST_CASE("head: tied to the embedding, gradients of both meet in one table") {
  const Body body = [](Site& site) {
    const auto table =
        site.add("table", site.make().embedding({.num_embeddings = kWords, .size = kWidth, .init_std = 0.3}));
    const auto head = head_of(site, table);
    const at::Tensor x = table->forward(some_ids("ids"));
    site.output("loss", head->loss(x, some_labels(), 29));
    site.output("logits", head->logits(x));
  };
  CHECK(run_dense(body).count("d head.weight") == 0);
  check_modes(body);
}

TEST_CASE("bf16 over fp32 weights: the tied embedding and head") {
  const Body body = [](Site& site) {
    const auto table =
        site.add("table", site.make().embedding({.num_embeddings = kWords, .size = kWidth, .init_std = 0.3}));
    const auto head = head_of(site, table);
    site.output("loss", head->loss(table->forward(some_ids("ids")), some_labels(), 29));
  };
  check_modes(body, 4e-2, at::kBFloat16);
}

TEST_CASE("fp16: gradients of one token among a million survive loss scaling") {
  const Body body = [](Site& site) {
    const auto head = head_of(site);
    const at::Tensor x = site.input("x", kStream, Place::stream);
    site.output("loss", head->loss(x, some_labels(), 1e6) * double{1 << 22});
  };
  check_modes(body, 2e-2, at::kHalf);
}

TEST_CASE("head: tokens in several chunks of logits") {
  constexpr int64_t kMany = 4096, kTokens = 2100;  // more than 64 MiB of logits on the ranks below
  const Body body = [](Site& site) {
    const auto head = site.add("head", site.make().head({.hidden = 4, .vocab_size = kMany, .init_std = 0.3}));
    const at::Tensor x = site.input("x", {4, kTokens, 4}, Place::stream);
    at::Tensor labels = some_ids("labels", 4, kTokens, kMany);
    labels[3].narrow(0, 0, 50).fill_(-100);
    site.output("loss", head->loss(x, labels, 8350));
  };
  const Results dense = run_dense(body);
  for (const Setup& setup : {Setup{{TensorMode::one_d_sequence, 2}}, Setup{{TensorMode::two_d, 4}},
                             Setup{{TensorMode::three_d, 8}}}) {
    CAPTURE(setup.text());
    check_close(run_mode(setup, body), dense, 1e-10);
  }
}

TEST_CASE("the loss of the tokens that are targets is that of all tokens") {
  const Body body = [](Site& site) {
    const auto head = head_of(site);
    const auto targets = site.make().targets();
    const at::Tensor x = site.input("x", kStream, Place::stream);
    // One row has most of them, another none.
    at::Tensor labels = at::full({kBatch, kLength}, -100, at::kLong);
    labels[0] = some_labels()[0].clamp_min(3);
    labels[3][6] = 126;
    const auto [packed, theirs] = targets->forward(x, labels);
    site.output("loss", head->loss(packed, theirs, 8));
    const auto scores = head->scores(packed, theirs);
    site.output("log_prob", scores.log_probs.sum());
    const auto all = head->scores(x, labels);
    CHECK(std::abs((all.log_probs.sum() - scores.log_probs.sum()).item<double>()) < 1e-12);
    CHECK(all.right.sum().item<double>() == scores.right.sum().item<double>());
  };
  check_modes(body);
  check_modes(
      [](Site& site) {
        const auto head = head_of(site);
        const at::Tensor x = site.input("x", kStream, Place::stream);
        const auto [packed, theirs] =
            site.make().targets()->forward(x, at::full({kBatch, kLength}, -100, at::kLong));
        site.output("loss", head->loss(packed, theirs, 1));
      },
      0);
}
