// SPDX-License-Identifier: Apache-2.0
// Bytes that one rank holds, counted by the allocator, against the formulas, exactly: 1/t, 1/q^2, 1/(d q^2) and 1/q^3 of the dense ones.
// One rank runs alone (comm/backends/fake), so that the process-wide counts are its own.
#include "colossal/tensor/allocator.h"
#include "tests/parallel/tensor_modes.h"

using namespace colossal;
using namespace colossal::testing;
using nn::Role;
using nn::functional::Activation;

namespace {

// A block of the usual shape. In the formulas: T tokens, width h, MLP f wide; in elements, W of each of its weights and A of all of
// the attention's.
constexpr int64_t kSequences = 64, kTokensEach = 4, kTokens = kSequences * kTokensEach, kBlockWidth = 128,
                  kMlpWidth = 512, kNumHeads = 64;

std::vector<Setup> memory_setups() {
  return {{},
          {{TensorMode::one_d, 4}},
          {{TensorMode::one_d, 64}},
          {{TensorMode::one_d_sequence, 4}},
          {{TensorMode::one_d_sequence, 4}, Keep::gathered},
          {{TensorMode::two_d, 4}},
          {{TensorMode::two_d, 16}},
          {{TensorMode::two_d, 64}},
          {{TensorMode::two_and_half_d, 8, 2}},
          {{TensorMode::two_and_half_d, 512, 8}},
          {{TensorMode::three_d, 8}},
          {{TensorMode::three_d, 8}, Keep::gathered},
          {{TensorMode::three_d, 64}},
          {{TensorMode::three_d, 512}},
          {{TensorMode::three_d, 512}, Keep::gathered}};
}

// Of which share of the whole one rank holds what.
struct Shares {
  explicit Shares(const Setup& setup) : mode(setup.how.mode), gathered(setup.keep == Keep::gathered) {
    const int64_t p = setup.how.size, d = setup.how.depth;
    q = std::lround(mode == TensorMode::three_d ? std::cbrt(p) : std::sqrt(p / d));
    const bool one_d = mode == TensorMode::one_d || mode == TensorMode::one_d_sequence;
    inner = weights = stream = p;
    if (one_d) q = p;
    if (mode == TensorMode::one_d) stream = 1;
    if (mode == TensorMode::two_and_half_d) weights = q * q;
    hidden = one_d ? 1 : q;
  }
  TensorMode mode;
  bool gathered;
  int64_t q = 1;
  int64_t stream = 1, inner = 1, weights = 1;  // of an activation of either place, of a weight
  int64_t hidden = 1;                          // of a vector along the stream's hidden dim
};

struct Block {
  explicit Block(Site& site)
      : up(site.make().linear({.in = kBlockWidth, .out = {kMlpWidth}, .bias = false})),
        down(site.make().linear({.in = kMlpWidth,
                                 .out = {kBlockWidth},
                                 .bias = false,
                                 .role = Role::contract,
                                 .activation = Activation::gelu_tanh})),
        attention_norm(site.make().norm({.size = kBlockWidth})),
        mlp_norm(site.make().norm({.size = kBlockWidth})),
        attention(site.make().attention({.hidden = kBlockWidth,
                                         .num_heads = kNumHeads,
                                         .num_kv_heads = kNumHeads,
                                         .head_dim = kBlockWidth / kNumHeads,
                                         .qkv_bias = false,
                                         .out_bias = false,
                                         .fused_qkv = true})) {}
  at::Tensor mlp(const at::Tensor& x) const { return down->forward(up->forward(x)); }
  at::Tensor forward(const at::Tensor& x) const {
    const auto [sum, normed] = mlp_norm->add(attention->forward(attention_norm->forward(x), {}), x);
    return sum + mlp(normed);
  }
  std::shared_ptr<nn::UnaryLayer> up, down;
  std::shared_ptr<nn::NormLayer> attention_norm, mlp_norm;
  std::shared_ptr<nn::AttentionLayer> attention;
};

int64_t live() { return tensor::memory_stats().live_bytes; }

// `body` on one rank of every mesh, with the formulas' shares of it. Elements are fp64.
void on_one_rank(const std::function<void(Site&, const Shares&)>& body) {
  tensor::install_caching_allocator();
  for (const Setup& setup : memory_setups()) {
    CAPTURE(setup.text());
    const auto world = comm::World::fake(0, static_cast<int>(setup.how.size));
    Site site(mesh_of(world, setup.how), setup, at::kDouble);
    site.state().sequence_length = kTokensEach;
    body(site, Shares(setup));
  }
}

at::Tensor input_of(Site& site) {
  return site.part(at::ones({kSequences, kTokensEach, kBlockWidth}, at::kDouble), Place::stream)
      .requires_grad_();
}

}  // namespace

TEST_CASE("parameters of a transformer block") {
  on_one_rank([](Site& site, const Shares& of) {
    const int64_t h = kBlockWidth, W = h * kMlpWidth, A = 4 * h * h;
    const int64_t before = live();
    const Block block(site);
    CHECK((live() - before) / 8 == (2 * W + A) / of.weights + 4 * h / of.hidden);
  });
}

TEST_CASE("what an MLP keeps between forward and backward, and the peak of both passes") {
  on_one_rank([](Site& site, const Shares& of) {
    const int64_t T = kTokens, h = kBlockWidth, f = kMlpWidth, W = h * f;
    const Block block(site);
    const at::Tensor x = input_of(site);
    const int64_t before = live(),
                  gathered_x = of.mode == TensorMode::three_d ? T * h / (of.q * of.q) : T * h;
    tensor::reset_peak();
    at::Tensor y = block.mlp(x);
    const int64_t kept = T * f / of.inner;
    int64_t gathered = 0;  // kept by the linear that expands; the other one forms its activation again
    if (of.gathered) gathered = gathered_x + (of.mode == TensorMode::three_d ? W / (of.q * of.q) : 0);
    CHECK((live() - before) / 8 == kept + T * h / of.stream + gathered);

    y.backward(at::ones_like(y));
    // y and its gradient, and the inner activation (after the linear that contracts: its gradient). Then either linear needs most:
    // contracting the activation once more, its gradient and the weight's; expanding both weights' gradients and that of x.
    const int64_t weight = W / of.weights, y_part = T * h / of.stream, base = 2 * y_part + kept;
    int64_t contract = base + 2 * kept + weight, expand = base + y_part + 2 * weight;
    switch (of.mode) {
      case TensorMode::none:
      case TensorMode::one_d: break;
      case TensorMode::one_d_sequence:
        // dy is gathered; x is, and its gradient is there as it comes and as it is cut.
        contract += T * h + gathered;
        expand = base + weight + y_part + 3 * T * h;
        break;
      case TensorMode::two_d:
      case TensorMode::two_and_half_d: {  // panels and sums: in use or own, under way, next
        const int64_t panels = std::min<int64_t>(of.q, 3);
        contract = base + panels * (kept + weight);
        expand = base + (panels + 1) * weight + panels * y_part;
        break;
      }
      case TensorMode::three_d:
        // x, W and dy are gathered, and the gradient of W is there as it comes and as it is cut.
        contract = base + (T * f + T * h + 3 * W) / (of.q * of.q) + weight + gathered;
        expand = base + (T * f + T * h + 3 * W) / (of.q * of.q) + 2 * weight;
    }
    const int64_t peak = std::max(contract, expand);
    const int64_t above = tensor::memory_stats().peak_bytes - before - peak * 8;
    CHECK(above >= 0);
    CHECK(above <= 16);  // a number of the fake backend
  });
}

TEST_CASE("what a transformer block keeps between forward and backward") {
  on_one_rank([](Site& site, const Shares& of) {
    const int64_t T = kTokens, h = kBlockWidth, f = kMlpWidth, W = h * f, A = 4 * h * h;
    const Block block(site);
    const at::Tensor x = input_of(site);
    const int64_t before = live();
    at::Tensor y = block.forward(x);
    // Two norms, the residual sum and the output; q, k, v, what attention gives, one number per head, the MLP's inner activation;
    // mean and scale of both norms, which all ranks that share a token hold.
    const int64_t stream = 4 * T * h, inner = T * (4 * h + kNumHeads + f), statistics = 4 * T * of.hidden;
    int64_t kept = stream / of.stream + inner / of.inner + statistics / of.stream;
    if (of.gathered && of.mode == TensorMode::one_d_sequence) kept += 2 * T * h;
    if (of.gathered && of.mode == TensorMode::three_d) kept += (3 * T * h + A + W) / (of.q * of.q);
    CHECK((live() - before) / 8 == kept);

    y.backward(at::ones_like(y));
    y.reset();
    at::Tensor(x).mutable_grad().reset();
    const int64_t gradients = (2 * W + A) / of.weights + 4 * h / of.hidden;
    CHECK((live() - before) / 8 == gradients);  // nothing else is left
  });
}

TEST_CASE("embedding and head: their tables, what they keep, and the logits") {
  on_one_rank([](Site& site, const Shares& of) {
    const int64_t T = kTokens, h = kBlockWidth, V = 8192;
    const at::Tensor ids = at::zeros({kSequences, kTokensEach}, at::kLong);
    int64_t before = live();
    const auto table = site.make().embedding({.num_embeddings = V, .size = h});
    const auto head = site.make().head({.hidden = h, .vocab_size = V});
    CHECK((live() - before) / 8 == 2 * V * h / of.weights);

    before = live();
    const at::Tensor embedded = table->forward(ids);
    const int64_t own_ids = of.mode == TensorMode::none ? 0 : T / site.setup().how.depth;
    CHECK((live() - before) / 8 == T * h / of.stream + own_ids);

    // The gradients of its input and its weight, and the loss.
    const at::Tensor x = input_of(site);
    before = live();
    const at::Tensor loss = head->loss(x, ids, T);
    CHECK((live() - before) / 8 == T * h / of.stream + V * h / of.weights + 1);
    if (of.mode == TensorMode::none) return;

    // Logits are 1 / p of all. Where they are sums of several ranks', what is to be cut is there before; cut by columns, also in the order
    // of the pieces.
    before = live();
    tensor::reset_peak();
    head->scores(x, ids);
    const bool cube = of.mode == TensorMode::three_d;
    int64_t operands = 0, partial = 0;
    if (of.mode == TensorMode::one_d_sequence) operands = T * h;
    if (of.hidden > 1) {
      operands = (cube ? T * h / of.q : 0) / of.q + V * h / (cube ? of.q * of.q : of.q);
      partial = (cube ? 1 : 2) * T * V * of.q / of.inner;
    }
    const int64_t rows = T * of.q / of.inner;  // of the logits: some numbers for each
    const int64_t above =
        tensor::memory_stats().peak_bytes - before - 8 * (operands + partial + T * V / of.inner);
    CAPTURE(above);
    CAPTURE(rows);
    CHECK(above >= 0);
    CHECK(above <= 8 * 16 * rows + 64);
  });
}
