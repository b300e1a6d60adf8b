// SPDX-License-Identifier: Apache-2.0
// Dense layers: shapes and layouts, dropout that belongs to the global batch, the key-value cache.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/tensor/random.h"

using namespace colossal;
using namespace colossal::nn;

namespace {

at::Tensor random(const char* name, const tensor::Shape& shape) {
  return tensor::normal(tensor::RandomKey(1).named(name), shape, {tensor::Shape(shape.size(), 0), shape}, 0,
                        1, at::kDouble);
}

DenseFactory make_factory(const std::shared_ptr<StepState>& state) {
  return {comm::Mesh(), state, {.compute = at::kDouble}};
}

std::shared_ptr<AttentionLayer> make_attention(DenseFactory& make, int64_t kv_heads, double dropout) {
  auto layer = make.attention({.hidden = 24,
                               .num_heads = 6,
                               .num_kv_heads = kv_heads,
                               .head_dim = 4,
                               .fused_qkv = kv_heads == 6,
                               .dropout = dropout,
                               .site = "a",
                               .rotary = RotaryOptions{{1.0, 0.01}},
                               .init_std = 0.3,
                               .out_init_std = 0.3});
  initialize(parameters(*layer, make.mesh()), 2, 0);
  return layer;
}

double worst(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

}  // namespace

TEST_CASE("fused weights keep heads and projections as dims of their own") {
  auto make = make_factory(std::make_shared<StepState>());
  const auto shapes = [&](const torch::nn::Module& module) {
    std::map<std::string, std::vector<int64_t>> found;
    for (const Parameter& p : parameters(module, make.mesh())) found[p.name] = p.layout().shape();
    return found;
  };
  CHECK(shapes(*make_attention(make, 6, 0)) ==
        std::map<std::string, std::vector<int64_t>>{{"qkv.weight", {3, 6, 4, 24}},
                                                    {"qkv.bias", {3, 6, 4}},
                                                    {"out.weight", {24, 24}},
                                                    {"out.bias", {24}}});
  CHECK(shapes(*make_attention(make, 2, 0)) ==
        std::map<std::string, std::vector<int64_t>>{{"query.weight", {6, 4, 24}},
                                                    {"query.bias", {6, 4}},
                                                    {"key_value.weight", {2, 2, 4, 24}},
                                                    {"key_value.bias", {2, 2, 4}},
                                                    {"out.weight", {24, 24}},
                                                    {"out.bias", {24}}});
  CHECK(shapes(*make.linear({.in = 8, .out = {2, 6}, .split = 1, .bias = false})) ==
        std::map<std::string, std::vector<int64_t>>{{"weight", {2, 6, 8}}});
  CHECK_THROWS_WITH_AS(
      make.linear({.in = 8, .out = {2, 6}, .split = 2}),
      "linear: in = 8, out = [2, 6], split = 2. Allowed: sizes of at least 1, split a dim of out.",
      ShapeError);
  CHECK_THROWS_WITH_AS(make.linear({.in = 8, .out = {2, 6}, .split = 1, .role = Role::contract}),
                       "linear: in = 8, out = [2, 6], split = 1, not Role::expand. Allowed: sizes of at "
                       "least 1, split a dim of out, one dim of out where the role is not to expand.",
                       ShapeError);
}

TEST_CASE("dropout of a microbatch is its rows of the global batch, in values and gradients") {
  const auto state =
      std::make_shared<StepState>(StepState{.seed = 9, .step = 3, .global_rows = 5, .first_row = 0});
  auto make = make_factory(state);
  const auto drop = make.dropout(0.4, "blocks.0.mlp");
  const auto attention = make_attention(make, 2, 0.3);
  const at::Tensor x = random("x", {5, 7, 24}).requires_grad_();
  const auto run = [&](const at::Tensor& rows, int64_t first) {
    state->first_row = first;
    return attention->forward(drop->forward(rows), {});
  };
  const at::Tensor whole = run(x, 0);
  whole.square().sum().backward();
  const at::Tensor gradient = x.grad().clone();
  x.mutable_grad().reset();
  const at::Tensor first = run(x.narrow(0, 0, 2), 0);
  const at::Tensor second = run(x.narrow(0, 2, 3), 2);
  state->first_row = 0;  // by the time of backward the state has moved on
  state->step = 4;
  CHECK(worst(at::cat({first, second}), whole) < 1e-14);
  (first.square().sum() + second.square().sum()).backward();
  CHECK(worst(x.grad(), gradient) < 1e-12);
  CHECK(worst(run(x, 0), whole) > 1e-3);  // another step, another mask
  state->training = false;
  CHECK(at::equal(drop->forward(x), x));
  CHECK_THROWS_WITH_AS(make.dropout(1, "s"), "dropout s: p = 1. Allowed: 0 <= p < 1.", ShapeError);
}

TEST_CASE("with a cache, any split of the sequence gives what one pass gives") {
  auto make = make_factory(std::make_shared<StepState>());
  const at::NoGradGuard no_grad;
  const at::Tensor x = random("x", {2, 9, 24});
  for (const int64_t kv_heads : {1, 2, 6}) {
    const auto attention = make_attention(make, kv_heads, 0);
    const at::Tensor whole = attention->forward(x, {});
    for (const std::vector<int64_t>& pieces :
         std::vector<std::vector<int64_t>>{{5, 1, 1, 1, 1}, {1, 8}, {3, 3, 3}}) {
      KeyValueCache cache{.capacity = 9};
      std::vector<at::Tensor> parts;
      for (const int64_t piece : pieces)
        parts.push_back(attention->forward(x.narrow(1, cache.length, piece), {.cache = &cache}));
      CHECK(worst(at::cat(parts, 1), whole) < 1e-13);
      CHECK_THROWS_WITH_AS(attention->forward(x.narrow(1, 0, 1), {.cache = &cache}),
                           "key-value cache: 10 positions were asked for. Allowed: 9, its capacity.",
                           ShapeError);
    }
  }
}

TEST_CASE("learned positions add their rows, sum their gradient over the batch, and end") {
  auto make = make_factory(std::make_shared<StepState>());
  const auto positions = make.learned_positions({.num_embeddings = 6, .size = 3});
  initialize(parameters(*positions, make.mesh()), 1, 0);
  const at::Tensor table = positions->named_parameters()["weight"];
  const at::Tensor x = random("x", {4, 2, 3}).requires_grad_();
  const at::Tensor y = positions->forward(x, 3);
  CHECK(at::equal(y, x + table.detach().narrow(0, 3, 2)));
  const at::Tensor weight = random("w", {4, 2, 3});
  (y * weight).sum().backward();
  at::Tensor expected = at::zeros({6, 3}, at::kDouble);
  expected.narrow(0, 3, 2).copy_(weight.sum(0));
  CHECK(worst(table.grad(), expected) < 1e-14);
  CHECK(at::equal(x.grad(), weight));
  CHECK_THROWS_WITH_AS(
      positions->forward(x, 5),
      "learned positions: positions 5 to 6 were asked for. Allowed: 0 to 5. Shorten the sequence.",
      ShapeError);
}

TEST_CASE("a table that is the output layer, too, gets the gradients of both") {
  auto make = make_factory(std::make_shared<StepState>());
  const auto embedding = make.embedding({.num_embeddings = 11, .size = 8});
  const auto head = make.head({.hidden = 8, .vocab_size = 11, .tied_embedding = embedding});
  initialize(parameters(*embedding, make.mesh()), 1, 0);
  const at::Tensor table = embedding->named_parameters()["weight"];
  const at::Tensor ids = at::tensor({1, 2, 2, 4, 10, 1}, at::kLong).view({2, 3});
  const at::Tensor dense = table.detach().clone().requires_grad_();
  for (int microbatch = 0; microbatch < 2; ++microbatch) {
    head->loss(embedding->forward(ids), ids, 6).backward();
    const at::Tensor scores = at::linear(at::embedding(dense, ids), dense).view({6, 11});
    at::cross_entropy_loss(scores, ids.view({6})).backward();
  }
  CHECK(worst(table.grad(), dense.grad()) < 1e-14);
}

TEST_CASE("a tied table whose head is not asked, asked twice, or of which two graphs are in flight") {
  auto make = make_factory(std::make_shared<StepState>());
  const auto embedding = make.embedding({.num_embeddings = 11, .size = 8});
  const auto head = make.head({.hidden = 8, .vocab_size = 11, .tied_embedding = embedding});
  initialize(parameters(*embedding, make.mesh()), 1, 0);
  at::Tensor table = embedding->named_parameters()["weight"];
  const at::Tensor ids = at::tensor({1, 2, 2, 4, 10, 1}, at::kLong).view({2, 3}), others = ids.flip(0);
  const auto gradient_of = [&](const std::function<void()>& backward) {
    table.mutable_grad() = at::Tensor();
    backward();
    return table.grad().clone();
  };
  const at::Tensor of_ids = gradient_of([&] { head->loss(embedding->forward(ids), ids, 6).backward(); });
  const at::Tensor of_others =
      gradient_of([&] { head->loss(embedding->forward(others), ids, 6).backward(); });
  CHECK(worst(gradient_of([&] { embedding->forward(ids).sum().backward(); }).sum(), at::scalar_tensor(48.0)) <
        1e-14);
  CHECK(worst(gradient_of([&] {
                const at::Tensor loss = head->loss(embedding->forward(ids), ids, 6);
                loss.backward({}, /*retain_graph=*/true);
                loss.backward();
              }),
              2 * of_ids) < 1e-14);
  CHECK(worst(gradient_of([&] {
                const at::Tensor first = head->loss(embedding->forward(ids), ids, 6);
                head->loss(embedding->forward(others), ids, 6).backward();
                first.backward();
              }),
              of_ids + of_others) < 1e-14);
  CHECK(worst(gradient_of([&] {
                const at::Tensor x = embedding->forward(ids);
                (head->loss(x, ids, 6) + head->logits(x).sum() * 0.5).backward();
              }),
              gradient_of([&] { head->loss(embedding->forward(ids), ids, 6).backward(); }) + gradient_of([&] {
                (head->logits(embedding->forward(ids)).sum() * 0.5).backward();
              })) < 1e-14);
}

TEST_CASE("bf16 compute keeps fp32 master weights and gives fp32 gradients") {
  DenseFactory make(comm::Mesh(), std::make_shared<StepState>(), {.compute = at::kBFloat16});
  const auto embedding = make.embedding({.num_embeddings = 11, .size = 8});
  const auto head = make.head({.hidden = 8, .vocab_size = 11, .tied_embedding = embedding});
  const auto all = parameters(*embedding, make.mesh());
  initialize(all, 1, 0);
  const at::Tensor ids = at::tensor({1, 2, 3, 4}, at::kLong).view({2, 2});
  const at::Tensor x = embedding->forward(ids);
  CHECK((x.scalar_type() == at::kBFloat16));
  CHECK((head->logits(x).scalar_type() == at::kBFloat16));
  const at::Tensor loss = head->loss(x, ids, 4);
  CHECK((loss.scalar_type() == at::kFloat));
  loss.backward();
  CHECK((all[0].tensor.scalar_type() == at::kFloat));
  CHECK((all[0].tensor.grad().scalar_type() == at::kFloat));
  CHECK(head->named_parameters()["weight"].is_same(all[0].tensor));
}
