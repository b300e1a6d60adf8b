// SPDX-License-Identifier: Apache-2.0
// Bytes that every rank sends, as the flight recorder counts them, against the formulas, exactly: on real meshes, and on one rank of
// up to 512 (comm/backends/fake). b rows of s tokens, h features, n ranks of a group; |X| elements of the whole X.
#include "colossal/parallel/data/gradient_reducer.h"
#include "tests/parallel/tensor_modes.h"

using namespace colossal;
using namespace colossal::testing;
using nn::Role;

namespace {

constexpr int64_t kElement = 8;

// What one rank of n sends, in bytes, for a payload of so many elements.
int64_t reduced(int64_t n, int64_t elements) { return 2 * (n - 1) * elements * kElement / n; }
int64_t gathered(int64_t n, int64_t elements) {
  return (n - 1) * elements * kElement / n;
}  // and reduce_scatter

struct Bytes {
  int64_t forward = 0, backward = 0, synchronised = 0;
  Bytes operator+(const Bytes& b) const {
    return {forward + b.forward, backward + b.backward, synchronised + b.synchronised};
  }
  bool operator==(const Bytes&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Bytes& b) {
  return out << b.forward << " forward, " << b.backward << " backward, " << b.synchronised << " synchronised";
}

// A mesh with sizes that it just divides; the vocabulary is 1 short of what it divides.
struct Sizes {
  explicit Sizes(const Setup& setup)
      : mode(setup.how.mode),
        shards(setup.keep == Keep::shards),
        p(setup.how.size),
        d(setup.how.depth),
        q(std::lround(mode == TensorMode::three_d ? std::cbrt(p) : std::sqrt(p / d))) {
    const bool one_d = mode == TensorMode::one_d || mode == TensorMode::one_d_sequence;
    if (one_d) q = p;
    const int64_t largest = mode == TensorMode::three_d ? q * q : q;
    b = one_d ? 2 : mode == TensorMode::three_d ? q * q : d * q;
    s = mode == TensorMode::one_d_sequence ? 2 * p : 3;
    h = one_d ? 6 : 2 * largest;
    f = 3 * largest;
    v = 5 * largest;
  }
  TensorMode mode;
  bool shards;
  int64_t p, d, q;
  int64_t b = 0, s = 0, h = 0, f = 0, v = 0;

  int64_t tokens() const { return b * s; }
  int64_t own_tokens() const {  // of the stream
    switch (mode) {
      case TensorMode::one_d: return tokens();
      case TensorMode::one_d_sequence: return tokens() / p;
      case TensorMode::three_d: return tokens() / (q * q);
      default: return tokens() / (d * q);
    }
  }
  // Without the sums over replicas.
  Bytes linear(Role role, int64_t in, int64_t out) const {
    const int64_t x = tokens() * in, y = tokens() * out, w = in * out;
    const bool expands = role == Role::expand;
    switch (mode) {
      case TensorMode::one_d: return expands ? Bytes{0, reduced(p, x)} : Bytes{reduced(p, y), 0};
      case TensorMode::one_d_sequence:
        return expands ? Bytes{gathered(p, x), (shards ? 2 : 1) * gathered(p, x)}
                       : Bytes{gathered(p, y), gathered(p, y)};
      case TensorMode::three_d: {
        const auto moved = [&](int64_t elements) { return (q - 1) * elements / (q * q * q) * kElement; };
        return {moved(x + w + y), moved(x + w + y) + (shards ? moved(x + w) : 0)};
      }
      default: {
        const int64_t moved = (q - 1) * (x / d + w) / (q * q) * kElement;
        return {moved, 2 * moved};
      }
    }
  }
  // Of the whole weight, its bias and a norm's two vectors, once per step.
  int64_t weight_sum(int64_t elements) const {
    return mode == TensorMode::two_and_half_d ? reduced(d, elements / (q * q)) : 0;
  }
  int64_t vector_sum(Role role, int64_t elements) const {
    switch (mode) {
      case TensorMode::one_d: return 0;
      case TensorMode::one_d_sequence: return role == Role::contract ? reduced(p, elements) : 0;
      case TensorMode::three_d: return reduced(q * q, elements / q);
      default: return reduced(d * q, elements / q);
    }
  }
};

// What one rank sends for the layer that `build` makes; the forward pass gives a tensor to begin backward at.
using Forward = std::function<at::Tensor()>;
using Build = std::function<Forward(Site&)>;

Bytes count(const std::shared_ptr<comm::World>& world, const Setup& setup, const Build& build) {
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

void check_bytes(const Build& build, const std::function<Bytes(const Sizes&)>& formula) {
  for (const Setup& setup : setups()) {
    CAPTURE(setup.text());
    std::vector<Bytes> found(setup.how.size);
    comm::run_ranks(static_cast<int>(setup.how.size), [&](std::shared_ptr<comm::World> world) {
      found[world->rank()] = count(world, setup, build);
    });
    for (const Bytes& bytes : found) CHECK(bytes == formula(Sizes(setup)));
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
      CHECK(count(world, setup, build) == formula(Sizes(setup)));
    }
  }
}

// The sizes again, from inside a body.
Sizes sizes_of(Site& site) { return Sizes(site.setup()); }

at::Tensor stream_of(Site& site) {
  const Sizes z = sizes_of(site);
  return site.part(at::ones({z.b, z.s, z.h}, at::kDouble), Place::stream).requires_grad_();
}

Build linear_of(Role role) {
  return [role](Site& site) -> Forward {
    const Sizes z = sizes_of(site);
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

TEST_CASE("bytes of a linear that expands") {
  check_bytes(linear_of(Role::expand), [](const Sizes& z) {
    return z.linear(Role::expand, z.h, z.f) +
           Bytes{0, 0, z.weight_sum(z.h * z.f) + z.vector_sum(Role::expand, z.f)};
  });
}

TEST_CASE("bytes of a linear that contracts") {
  check_bytes(linear_of(Role::contract), [](const Sizes& z) {
    return z.linear(Role::contract, z.f, z.h) +
           Bytes{0, 0, z.weight_sum(z.h * z.f) + z.vector_sum(Role::contract, z.h)};
  });
}

TEST_CASE("bytes of norms: two numbers per token each way, RMS one; none where the hidden dim is whole") {
  for (const bool rms : {false, true}) {
    const auto kind = rms ? nn::NormOptions::Kind::rms : nn::NormOptions::Kind::layer;
    check_bytes(
        [=](Site& site) -> Forward {
          const auto norm = site.add("norm", site.make().norm({.kind = kind, .size = sizes_of(site).h}));
          return [=, x = stream_of(site)] { return norm->forward(x); };
        },
        [=](const Sizes& z) {
          const bool one_d = z.mode == TensorMode::one_d || z.mode == TensorMode::one_d_sequence;
          const int64_t numbers = one_d ? 0 : (rms ? 1 : 2) * reduced(z.q, z.own_tokens());
          return Bytes{numbers, numbers, z.vector_sum(Role::contract, (rms ? 1 : 2) * z.h)};
        });
  }
}

TEST_CASE("bytes of attention: its projections; one kv head is projected in pieces and gathered") {
  // As many heads as ranks share them, of as many elements.
  check_bytes(
      [](Site& site) -> Forward {
        const Sizes z = sizes_of(site);
        const auto attention = site.add("attention", site.make().attention({.hidden = z.h,
                                                                            .num_heads = z.q,
                                                                            .num_kv_heads = 1,
                                                                            .head_dim = z.q,
                                                                            .qkv_bias = false,
                                                                            .out_bias = false}));
        return [=, x = stream_of(site)] { return attention->forward(x, {}); };
      },
      [](const Sizes& z) {
        const int64_t heads = z.q * z.q, both = 2 * z.q;
        const int64_t pieces =
            gathered(z.q, (z.mode == TensorMode::one_d_sequence ? z.tokens() : z.own_tokens()) * both);
        return z.linear(Role::expand, z.h, heads) + z.linear(Role::expand, z.h, both) +
               z.linear(Role::contract, heads, z.h) +
               Bytes{pieces, pieces, z.weight_sum(2 * z.h * heads) + z.weight_sum(z.h * both)};
      });
  check_bytes(
      [](Site& site) -> Forward {
        const Sizes z = sizes_of(site);
        const auto attention = site.add("attention", site.make().attention({.hidden = z.h,
                                                                            .num_heads = z.q,
                                                                            .num_kv_heads = z.q,
                                                                            .head_dim = z.q > 8 ? 1 : z.q,
                                                                            .qkv_bias = false,
                                                                            .out_bias = false,
                                                                            .fused_qkv = true}));
        return [=, x = stream_of(site)] { return attention->forward(x, {}); };
      },
      [](const Sizes& z) {
        const int64_t heads = z.q * (z.q > 8 ? 1 : z.q);
        return z.linear(Role::expand, z.h, 3 * heads) + z.linear(Role::contract, heads, z.h) +
               Bytes{0, 0, z.weight_sum(4 * z.h * heads)};
      });
}

TEST_CASE("bytes of the embedding: the sum of what each rank finds, never the table") {
  check_bytes(
      [](Site& site) -> Forward {
        const Sizes z = sizes_of(site);
        const auto table = site.add("table", site.make().embedding({.num_embeddings = z.v - 1, .size = z.h}));
        return [=] { return table->forward(at::zeros({z.b, z.s}, at::kLong)); };
      },
      [](const Sizes& z) {
        const int64_t x = z.tokens() * z.h;
        switch (z.mode) {
          case TensorMode::one_d: return Bytes{reduced(z.p, x), 0};
          case TensorMode::one_d_sequence: return Bytes{gathered(z.p, x), gathered(z.p, x)};
          case TensorMode::three_d: return Bytes{gathered(z.q * z.q, x / z.q), gathered(z.q * z.q, x / z.q)};
          default: {
            const int64_t moved = gathered(z.q, x / (z.d * z.q));
            return Bytes{moved, moved, z.weight_sum(z.v * z.h)};
          }
        }
      });
}

TEST_CASE("bytes of positions and dropout: none but the sum of the table's gradient") {
  check_bytes(
      [](Site& site) -> Forward {
        const Sizes z = sizes_of(site);
        const auto positions =
            site.add("positions", site.make().learned_positions({.num_embeddings = z.s, .size = z.h}));
        const auto dropout = site.make().dropout(0.5, "site");
        site.state().sequence_length = z.s;
        site.state().global_rows = z.b;
        return [=, x = stream_of(site)] { return dropout->forward(positions->forward(x, 0)); };
      },
      [](const Sizes& z) {
        return Bytes{0, 0, z.vector_sum(Role::contract, z.s * z.h)};
      });
}

TEST_CASE(
    "bytes of the head's loss: gradients are formed in forward; three numbers per token for the softmax") {
  check_bytes(
      [](Site& site) -> Forward {
        const Sizes z = sizes_of(site);
        const auto head = site.add("head", site.make().head({.hidden = z.h, .vocab_size = z.v - 1}));
        return [=, x = stream_of(site)] { return head->loss(x, at::zeros({z.b, z.s}, at::kLong), 1); };
      },
      [](const Sizes& z) {
        const int64_t x = z.tokens() * z.h, w = z.v * z.h, logits = z.tokens() * z.v;
        const auto softmax = [&](int64_t tokens) { return reduced(z.q, tokens) + reduced(z.q, 2 * tokens); };
        switch (z.mode) {
          case TensorMode::one_d: return Bytes{reduced(z.p, x) + softmax(z.tokens()), 0};
          case TensorMode::one_d_sequence: return Bytes{2 * gathered(z.p, x) + softmax(z.tokens()), 0};
          case TensorMode::three_d: {
            const int64_t moved = (z.q - 1) * (x + w + logits) / (z.q * z.q * z.q) * kElement;
            return Bytes{2 * moved + softmax(z.own_tokens()) + reduced(z.q * z.q, 1), 0};
          }
          default: {
            const int64_t moved = (z.q - 1) * (w + logits / z.d) / (z.q * z.q) * kElement;
            return Bytes{2 * moved + softmax(z.own_tokens()) + reduced(z.d * z.q, 1), 0, z.weight_sum(w)};
          }
        }
      });
}

TEST_CASE("bytes of the head's logits and log-probabilities, which all ranks get in full") {
  // What the product moves forward, and its weight alone.
  const auto moved = [](const Sizes& z, bool weight_only) {
    const int64_t x = z.tokens() * z.h, w = z.v * z.h, logits = z.tokens() * z.v;
    switch (z.mode) {
      case TensorMode::one_d: return int64_t{0};
      case TensorMode::one_d_sequence: return weight_only ? 0 : gathered(z.p, x);
      case TensorMode::three_d:
        return (z.q - 1) * (weight_only ? x + w : x + w + logits) / (z.q * z.q * z.q) * kElement;
      default: return (z.q - 1) * (weight_only ? w : w + logits / z.d) / (z.q * z.q) * kElement;
    }
  };
  const auto ways = [](const Sizes& z) {  // of the tokens
    const bool one_d = z.mode == TensorMode::one_d || z.mode == TensorMode::one_d_sequence;
    return one_d ? 1 : z.mode == TensorMode::three_d ? z.q * z.q : z.d * z.q;
  };
  const auto head_of = [](Site& site, bool logits) -> Forward {
    const Sizes z = sizes_of(site);
    const auto head = site.add("head", site.make().head({.hidden = z.h, .vocab_size = z.v - 1}));
    site.state().num_rows = z.b;
    site.state().sequence_length = z.s;
    return [=, x = stream_of(site)] {
      return logits ? head->logits(x) : head->log_probs(x, at::zeros({z.b, z.s}, at::kLong));
    };
  };
  check_bytes([&](Site& site) { return head_of(site, true); },
              [&](const Sizes& z) {
                const int64_t joined =
                    gathered(z.q, z.tokens() * z.v / ways(z)) + gathered(ways(z), z.tokens() * z.v);
                const int64_t forward = moved(z, false), x = z.tokens() * z.h;
                // Operands are gathered again in backward, and their gradients are summed.
                int64_t backward = forward + moved(z, true);
                if (z.mode == TensorMode::one_d) backward = reduced(z.p, x);
                if (z.mode == TensorMode::one_d_sequence) backward = 2 * forward;
                return Bytes{forward + joined, backward, z.weight_sum(z.v * z.h)};
              });
  check_bytes([&](Site& site) { return head_of(site, false); },
              [&](const Sizes& z) {
                const int64_t own = z.tokens() / ways(z);
                return Bytes{moved(z, false) + reduced(z.q, own) + reduced(z.q, 2 * own) +
                                 gathered(ways(z), z.tokens()),
                             0, z.weight_sum(z.v * z.h)};
              });
}
