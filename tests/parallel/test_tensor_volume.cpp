// SPDX-License-Identifier: Apache-2.0
// Bytes that every rank sends, as the flight recorder counts them, against the formulas, exactly: on real meshes, and on one rank of
// up to 512 (comm/backends/fake).
#include "colossal/parallel/data/gradient_reducer.h"
#include "tests/parallel/volume.h"

using namespace colossal;
using namespace colossal::testing;
using nn::Role;
using nn::functional::Activation;

namespace {

// What one rank sends for the layer that `build` makes; the forward pass gives a tensor to begin backward at.
using Forward = std::function<at::Tensor()>;
using Build = std::function<Forward(Site&)>;

Sent count(const std::shared_ptr<comm::World>& world, const Setup& setup, const Build& build) {
  Site site(mesh_of(world, setup.how), setup, at::kDouble);
  const Forward forward = build(site);
  parallel::GradientReducer reducer(site.parameters(), site.mesh(),
                                    {.when = parallel::GradientReducerOptions::When::after_backward});
  const auto sent = [&] { return world->recorder().total().bytes_sent; };
  reducer.begin_step();
  reducer.begin_backward(parallel::GradientReducer::Pass::reduce);
  const int64_t start = sent();
  const at::Tensor y = forward().sum();
  const int64_t middle = sent();
  if (y.requires_grad()) y.backward();
  const int64_t end = sent();
  reducer.finish();
  return {middle - start, end - middle, sent() - end};
}

void check_sent(const Build& build, const std::function<Sent(const Volume&)>& formula) {
  for (const Setup& setup : setups()) {
    CAPTURE(setup.text());
    std::vector<Sent> found(setup.how.size);
    comm::run_ranks(static_cast<int>(setup.how.size), [&](std::shared_ptr<comm::World> world) {
      found[world->rank()] = count(world, setup, build);
    });
    for (const Sent& sent : found) CHECK(sent == formula(Volume(setup)));
  }
  for (const auto& [mode, size, depth] : {TensorParallel{TensorMode::one_d, 16},
                                          {TensorMode::one_d, 64},
                                          {TensorMode::one_d, 512},
                                          {TensorMode::one_d_sequence, 16},
                                          {TensorMode::one_d_sequence, 64},
                                          {TensorMode::one_d_sequence, 512},
                                          {TensorMode::two_d, 16},
                                          {TensorMode::two_d, 64},
                                          {TensorMode::two_and_half_d, 64, 4},
                                          {TensorMode::two_and_half_d, 512, 8},
                                          {TensorMode::three_d, 64},
                                          {TensorMode::three_d, 512}}) {
    const Setup setup{{mode, size, depth}};
    CAPTURE(setup.text());
    for (const int64_t rank : {int64_t{0}, size / 3, size - 1}) {
      CAPTURE(rank);
      const auto world = comm::World::fake(static_cast<int>(rank), static_cast<int>(size));
      CHECK(count(world, setup, build) == formula(Volume(setup)));
    }
  }
}

// The sizes again, from inside a body.
Volume sizes_of(Site& site) { return Volume(site.setup()); }

at::Tensor stream_of(Site& site) {
  const Volume z = sizes_of(site);
  return site.part(at::ones({z.b, z.s, z.h}, at::kDouble), Place::stream).requires_grad_();
}

Build linear_of(Role role) {
  return [role](Site& site) -> Forward {
    const Volume z = sizes_of(site);
    const bool expands = role == Role::expand;
    const auto layer =
        site.add("linear",
                 site.make().linear({.in = expands ? z.h : z.f, .out = {expands ? z.f : z.h}, .role = role}));
    const at::Tensor x =
        expands ? stream_of(site)
                : site.part(at::ones({z.b, z.s, z.f}, at::kDouble), Place::inner).requires_grad_();
    return [=] { return layer->forward(x); };
  };
}

}  // namespace

TEST_CASE("sent by a linear that expands") {
  check_sent(linear_of(Role::expand), [](const Volume& z) {
    return z.linear(Role::expand, z.h, z.f) + z.weight(z.h * z.f) + z.vector(Role::expand, z.f);
  });
}

TEST_CASE("sent by a linear that contracts") {
  check_sent(linear_of(Role::contract), [](const Volume& z) {
    return z.linear(Role::contract, z.f, z.h) + z.weight(z.h * z.f) + z.vector(Role::contract, z.h);
  });
}

TEST_CASE("sent by norms: two numbers per token each way, RMS one; none where the hidden dim is whole") {
  for (const bool rms : {false, true}) {
    const auto kind = rms ? nn::NormOptions::Kind::rms : nn::NormOptions::Kind::layer;
    check_sent(
        [=](Site& site) -> Forward {
          const auto norm = site.add("norm", site.make().norm({.kind = kind, .size = sizes_of(site).h}));
          return [=, x = stream_of(site)] { return norm->forward(x); };
        },
        [=](const Volume& z) { return z.norm(rms ? 1 : 2); });
  }
}

TEST_CASE("sent by attention: what travels of its input does once, for queries, keys and values together") {
  // As many heads as the ranks share, or twice as many, of so many features that the mesh divides.
  struct Heads {
    int64_t per_rank, kv_heads;  // kv_heads 0: as many as ranks share
    bool fused;
  };
  for (const auto& [per_rank, kv_heads, fused] :
       {Heads{1, 0, true}, {1, 0, false}, {2, 0, false}, {1, 1, false}, {2, 1, false}}) {
    CAPTURE(per_rank);
    CAPTURE(kv_heads);
    CAPTURE(fused);
    const auto head_dim = [kv_heads = kv_heads](const Volume& z) {
      return kv_heads == 0 && z.q > 8 ? 1 : z.q;  // pieces of a head: one feature per rank
    };
    check_sent(
        [=, per_rank = per_rank, kv_heads = kv_heads, fused = fused](Site& site) -> Forward {
          const Volume z = sizes_of(site);
          const auto attention =
              site.add("attention", site.make().attention({.hidden = z.h,
                                                           .num_heads = per_rank * z.q,
                                                           .num_kv_heads = kv_heads == 0 ? z.q : kv_heads,
                                                           .head_dim = head_dim(z),
                                                           .fused_qkv = fused}));
          return [=, x = stream_of(site)] { return attention->forward(x, {}); };
        },
        [=, per_rank = per_rank, kv_heads = kv_heads](const Volume& z) {
          const int64_t dim = head_dim(z), query = per_rank * z.q * dim,
                        key_value = 2 * (kv_heads == 0 ? z.q : kv_heads) * dim;
          return z.attention(query, key_value, kv_heads == 0) + z.vectors(query + key_value, z.h);
        });
  }
}

TEST_CASE("a layer of 1D sends 8 b s h (t - 1) / t, whatever its heads of keys and values are") {
  for (const int64_t kv_heads : {4, 2, 1}) {
    CAPTURE(kv_heads);
    const int64_t size = 4, b = 2, s = 3, h = 16;
    const Setup setup{{TensorMode::one_d, size}};
    const Volume z(setup);
    const Build layer = [=](Site& site) -> Forward {
      const auto attention = site.add("attention", site.make().attention({.hidden = h,
                                                                          .num_heads = 4,
                                                                          .num_kv_heads = kv_heads,
                                                                          .head_dim = 4,
                                                                          .fused_qkv = kv_heads == 4}));
      const auto up = site.add("up", site.make().linear({.in = h, .out = {2, 24}, .split = 1}));
      const auto down = site.add(
          "down", site.make().linear(
                      {.in = 24, .out = {h}, .role = Role::contract, .activation = Activation::swiglu}));
      const at::Tensor x = site.part(at::ones({b, s, h}, at::kDouble), Place::stream).requires_grad_();
      return [=] { return down->forward(up->forward(attention->forward(x, {}))); };
    };
    const Sent sent = count(comm::World::fake(1, static_cast<int>(size)), setup, layer);
    const int64_t pieces = kv_heads % size == 0 ? 0 : z.gathered(size, b * s * 2 * kv_heads * 4);
    CHECK(sent == Sent{4 * z.gathered(size, b * s * h) + pieces, 4 * z.gathered(size, b * s * h) + pieces});
  }
}

TEST_CASE("sent by the embedding: the sum of what each rank finds, never the table") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto table = site.add("table", site.make().embedding({.num_embeddings = z.v - 1, .size = z.h}));
        return [=] { return table->forward(at::zeros({z.b, z.s}, at::kLong)); };
      },
      [](const Volume& z) { return z.embedding(); });
}

TEST_CASE("sent by an embedding and the head that shares its table: the table's gradient is summed once") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto table = site.add("table", site.make().embedding({.num_embeddings = z.v - 1, .size = z.h}));
        const auto head = site.add(
            "head", site.make().head({.hidden = z.h, .vocab_size = z.v - 1, .tied_embedding = table}));
        const at::Tensor ids = at::zeros({z.b, z.s}, at::kLong);
        return [=] { return head->loss(table->forward(ids), ids, 1); };
      },
      [](const Volume& z) {
        Sent sent = z.embedding() + z.head_loss();
        sent.synchronised /= 2;
        return sent;
      });
}

TEST_CASE("sent by a linear that stands alone") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto linear =
            site.add("linear", site.make().linear({.in = z.h, .out = {z.h}, .role = Role::keep}));
        return [=, x = stream_of(site)] { return linear->forward(x); };
      },
      [](const Volume& z) { return z.keep(); });
}

TEST_CASE("sent by patches and token types: the sums of their gradients alone") {
  constexpr int64_t kTypes = 3;
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto patches = site.add(
            "patches",
            site.make().patch_embedding({.image_size = 8, .patch_size = 2, .channels = 1, .size = z.h}));
        const auto types =
            site.add("types", site.make().token_types({.num_embeddings = kTypes, .size = z.h}));
        return [=] { return types->forward(patches->forward(at::ones({z.b, 1, 8, 8}, at::kDouble)), {}); };
      },
      [](const Volume& z) { return z.vector(Role::contract, (2 * 2 + 2 + kTypes) * z.h); });
}

TEST_CASE("sent by a classifier, plain and pooled: the first tokens, and sums of what all ranks hold") {
  constexpr int64_t kClasses = 3;
  for (const bool pooled : {false, true}) {
    CAPTURE(pooled);
    check_sent(
        [=](Site& site) -> Forward {
          const Volume z = sizes_of(site);
          const auto classifier =
              site.add("classifier",
                       site.make().classifier({.hidden = z.h, .num_classes = kClasses, .pooled = pooled}));
          return [=, x = stream_of(site)] { return classifier->loss(x, at::zeros({z.b}, at::kLong), 1); };
        },
        [=](const Volume& z) { return z.classifier((pooled ? z.h * z.h + z.h : 0) + kClasses * (z.h + 1)); });
  }
}

TEST_CASE("sent for the choice of the tokens that are targets: nothing") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto targets = site.make().targets();
        at::Tensor labels = at::full({z.b, z.s}, -100, at::kLong);
        labels.select(1, 1).fill_(1);
        return [=, x = stream_of(site)] { return targets->forward(x, labels).x; };
      },
      [](const Volume&) { return Sent{}; });
}

TEST_CASE("sent by positions and dropout: nothing but the sum of the table's gradient") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto positions =
            site.add("positions", site.make().learned_positions({.num_embeddings = z.s, .size = z.h}));
        const auto dropout = site.make().dropout(0.5, "site");
        site.state().sequence_length = z.s;
        site.state().global_rows = z.b;
        return [=, x = stream_of(site)] { return dropout->forward(positions->forward(x, 0)); };
      },
      [](const Volume& z) { return z.vector(Role::contract, z.s * z.h); });
}

TEST_CASE(
    "sent for the head's loss: gradients are formed in forward; three numbers per token for the softmax") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto head = site.add("head", site.make().head({.hidden = z.h, .vocab_size = z.v - 1}));
        return [=, x = stream_of(site)] { return head->loss(x, at::zeros({z.b, z.s}, at::kLong), 1); };
      },
      [](const Volume& z) { return z.head_loss(); });
}

TEST_CASE("sent for a number per word of the head: it is gathered where its table is, and its gradient cut") {
  check_sent(
      [](Site& site) -> Forward {
        const Volume z = sizes_of(site);
        const auto head =
            site.add("head", site.make().head({.hidden = z.h, .vocab_size = z.v - 1, .bias = true}));
        return [=, x = stream_of(site)] { return head->loss(x, at::zeros({z.b, z.s}, at::kLong), 1); };
      },
      [](const Volume& z) { return z.head_loss() + z.head_bias(); });
}

TEST_CASE("sent for the head's logits and log-probabilities, which all ranks get in full") {
  const auto head_of = [](Site& site, bool logits) -> Forward {
    const Volume z = sizes_of(site);
    const auto head = site.add("head", site.make().head({.hidden = z.h, .vocab_size = z.v - 1}));
    site.state().num_rows = z.b;
    site.state().sequence_length = z.s;
    return [=, x = stream_of(site)] {
      return logits ? head->logits(x) : head->scores(x, at::zeros({z.b, z.s}, at::kLong)).log_probs;
    };
  };
  check_sent([&](Site& site) { return head_of(site, true); },
             [&](const Volume& z) {
               const int64_t ways = z.inner_ways(), all = z.tokens() * z.v;
               const int64_t joined = z.gathered(z.q, all / ways) + z.gathered(ways, all);
               // Operands are gathered again in backward, and their gradients are summed.
               int64_t backward = z.logits() + z.logit_operands();
               if (z.mode == TensorMode::one_d) backward = z.reduced(z.p, z.tokens() * z.h);
               if (z.mode == TensorMode::one_d_sequence) backward = 2 * z.logits();
               return Sent{z.logits() + joined, backward} + z.weight(z.v * z.h);
             });
  check_sent([&](Site& site) { return head_of(site, false); },
             [&](const Volume& z) {
               return Sent{z.logits() + z.softmax() + 2 * z.gathered(z.inner_ways(), z.tokens()), 0} +
                      z.weight(z.v * z.h);
             });
}
