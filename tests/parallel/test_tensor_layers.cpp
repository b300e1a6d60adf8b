// SPDX-License-Identifier: Apache-2.0
// Every layer of every tensor mode against its dense twin in fp64. Sizes: 5 rows and 7 positions divide by no mesh, 36 features and
// 12 heads of 12 by all of them.
#include "colossal/nn/functional/activation.h"
#include "colossal/optim/optimizer.h"
#include "tests/parallel/tensor_modes.h"
#include "tests/support/error.h"

using namespace colossal;
using namespace colossal::testing;
using nn::Role;
using nn::functional::Activation;

namespace {

struct Mlp {
  Mlp(Site& site, const std::string& name, Activation activation) {
    const bool gated = activation == Activation::swiglu;
    up = site.add(name + ".up",
                  site.make().linear({.in = kWidth,
                                      .out = gated ? tensor::Shape{2, kInner} : tensor::Shape{kInner},
                                      .split = gated ? 1 : 0,
                                      .init_std = 0.3}));
    down = site.add(name + ".down", site.make().linear({.in = kInner,
                                                        .out = {kWidth},
                                                        .role = Role::contract,
                                                        .activation = activation,
                                                        .init_std = 0.3}));
  }
  at::Tensor operator()(const at::Tensor& x) const { return down->forward(up->forward(x)); }
  std::shared_ptr<nn::UnaryLayer> up, down;
};

}  // namespace

TEST_CASE("linear: expanding to one and to several dims, contracting, with bias and without") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    for (const bool bias : {true, false}) {
      const std::string name = bias ? "biased" : "plain";
      const auto one =
          site.add(name + ".one", site.make().linear({.in = kWidth, .out = {kInner}, .bias = bias}));
      site.output(name + ".one y", one->forward(x), {kBatch, kLength, kInner}, Place::inner);
      const auto two = site.add(
          name + ".two", site.make().linear({.in = kWidth, .out = {2, kInner}, .split = 1, .bias = bias}));
      site.output(name + ".two y", two->forward(x), {kBatch, kLength, 2, kInner}, Place::inner, 3);
      const auto three = site.add(
          name + ".three", site.make().linear({.in = kWidth, .out = {3, 12, 4}, .split = 1, .bias = bias}));
      site.output(name + ".three y", three->forward(x), {kBatch, kLength, 3, 12, 4}, Place::inner, 3);
      const at::Tensor z = site.input(name + ".z", {kBatch, kLength, kInner}, Place::inner);
      const auto back =
          site.add(name + ".back",
                   site.make().linear({.in = kInner, .out = {kWidth}, .bias = bias, .role = Role::contract}));
      site.output(name + ".back y", back->forward(z), kStream, Place::stream);
    }
  });
}

TEST_CASE("MLP: every activation, and that of an expanding linear's input") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    for (const auto& [name, kind] : {std::pair{"none", Activation::none},
                                     {"gelu_erf", Activation::gelu_erf},
                                     {"gelu_tanh", Activation::gelu_tanh},
                                     {"silu", Activation::silu},
                                     {"swiglu", Activation::swiglu}}) {
      site.output(name, Mlp(site, name, kind)(x), kStream, Place::stream);
    }
    const auto up =
        site.add("up", site.make().linear({.in = kWidth, .out = {kInner}, .activation = Activation::silu}));
    site.output("activated input", up->forward(x), {kBatch, kLength, kInner}, Place::inner);
  });
}

TEST_CASE("layer norm and RMS norm, alone and after the residual sum") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", drawn("x", kStream, 3, 2), Place::stream),
                     r = site.input("r", kStream, Place::stream);
    for (const auto& [name, options] :
         {std::pair{"layer", nn::NormOptions{.size = kWidth}},
          {"unbiased", nn::NormOptions{.size = kWidth, .eps = 1e-3, .bias = false}},
          {"rms", nn::NormOptions{.kind = nn::NormOptions::Kind::rms, .size = kWidth, .eps = 1e-6}}}) {
      const auto norm = site.add(name, site.make().norm(options));
      site.output(name, norm->forward(x), kStream, Place::stream);
      const auto [sum, normed] = norm->add(x, r);
      site.output(std::string(name) + " sum", sum, kStream, Place::stream);
      site.output(std::string(name) + " normed", normed, kStream, Place::stream);
    }
  });
}

TEST_CASE("norms of inputs with mean 1e4 and standard deviation 1 lose no more than their precision") {
  // bf16 has steps of 64 there: what is left of the deviation is what the twin gets, too.
  for (const auto& [type, tolerance] : {std::pair{at::kBFloat16, 1e-2}, {at::kFloat, 4e-3}}) {
    const at::ScalarType dtype = type;
    const Body body = [dtype](Site& site) {
      for (const double deviation : {1.0, 300.0}) {
        const std::string name = fmt::format("{}", deviation);
        const at::Tensor full =
            drawn(name, {kBatch, kLength, kWidth}, 1e4, deviation).to(dtype).to(at::kDouble);
        const at::Tensor x = site.input(name, full, Place::stream);
        for (const auto kind : {nn::NormOptions::Kind::layer, nn::NormOptions::Kind::rms}) {
          const std::string norm_name =
              fmt::format("{} {}", kind == nn::NormOptions::Kind::rms ? "rms" : "layer", name);
          const auto norm = site.add(norm_name, site.make().norm({.kind = kind, .size = kWidth}));
          site.output(norm_name + " y", norm->forward(x), kStream, Place::stream);
        }
      }
    };
    Results dense = run_dense(body);
    const auto outputs_only = [](Results& results) {
      std::erase_if(results, [](const auto& item) { return item.first.starts_with("d "); });
    };
    outputs_only(dense);
    for (const Setup& setup : setups()) {
      CAPTURE(setup.text());
      CAPTURE(dtype);
      auto ranks = run_mode(setup, body, dtype);
      for (Results& r : ranks) outputs_only(r);
      check_close(ranks, dense, tolerance);
    }
  }
}

TEST_CASE("fp16, which has no kernels of ours: norms, embeddings, MLPs and attention") {
  const Body body = [](Site& site) {
    const at::Tensor x = site.input("x", drawn("x", kStream, 3, 2), Place::stream),
                     r = site.input("r", kStream, Place::stream);
    for (const auto kind : {nn::NormOptions::Kind::layer, nn::NormOptions::Kind::rms}) {
      const std::string name = kind == nn::NormOptions::Kind::rms ? "rms" : "layer";
      const auto norm = site.add(name, site.make().norm({.kind = kind, .size = kWidth}));
      site.output(name + " y", norm->forward(x), kStream, Place::stream);
      const auto [sum, normed] = norm->add(x, r);
      site.output(name + " sum", sum, kStream, Place::stream);
      site.output(name + " normed", normed, kStream, Place::stream);
    }
    const auto table = site.add("table", site.make().embedding({.num_embeddings = 11, .size = kWidth}));
    const at::Tensor ids =
        (at::arange(kBatch * kLength, at::kLong) * 7).remainder(11).view({kBatch, kLength});
    site.output("rows", table->forward(ids), kStream, Place::stream);
    for (const auto& [name, kind] : {std::pair{"none", Activation::none},
                                     {"gelu_erf", Activation::gelu_erf},
                                     {"gelu_tanh", Activation::gelu_tanh},
                                     {"silu", Activation::silu},
                                     {"swiglu", Activation::swiglu}}) {
      site.output(name, Mlp(site, name, kind)(r), kStream, Place::stream);
    }
    const auto attention = site.add(
        "attention", site.make().attention({.hidden = kWidth,
                                            .num_heads = 12,
                                            .num_kv_heads = 3,
                                            .head_dim = 12,
                                            .rotary = nn::RotaryOptions{{1.0, 0.5, 0.2, 0.1, 0.03, 0.01}},
                                            .init_std = 0.1,
                                            .out_init_std = 0.1}));
    site.output("attention y", attention->forward(r, {}), kStream, Place::stream);
  };
  check_modes(body, 1e-2, at::kHalf);
}

TEST_CASE("attention: fused, grouped, multi-query, rotary, masked, with dropout on the probabilities") {
  check_modes([](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    nn::AttentionOptions base{.hidden = kWidth,
                              .num_heads = 12,
                              .num_kv_heads = 12,
                              .head_dim = 12,
                              .init_std = 0.3,
                              .out_init_std = 0.3};
    const auto run = [&](const std::string& name, nn::AttentionOptions options,
                         const nn::AttentionContext& context = {}) {
      options.site = name;
      const auto attention = site.add(name, site.make().attention(options));
      site.output(name + " y", attention->forward(x, context), kStream, Place::stream);
    };
    nn::AttentionOptions fused = base;
    fused.fused_qkv = true;
    run("fused", fused);
    fused.dropout = 0.4;
    run("fused with dropout", fused);
    // 6, 4 and 3 heads of keys and values divide by some of the groups of 2, 3 and 4 ranks; 1 by none.
    const nn::RotaryOptions rotary{{1.0, 0.5, 0.2, 0.1, 0.03, 0.01}};
    for (const int64_t kv_heads : {12, 6, 4, 3, 1}) {
      nn::AttentionOptions grouped = base;
      grouped.num_kv_heads = kv_heads;
      grouped.qkv_bias = kv_heads != 4;
      grouped.out_bias = kv_heads != 4;
      grouped.rotary = rotary;
      run(fmt::format("{} kv heads", kv_heads), grouped);
    }
    nn::AttentionOptions masked = base;
    masked.num_kv_heads = 4;
    masked.causal = false;
    at::Tensor mask = at::ones({kBatch, kLength}, at::kBool);
    mask[1].narrow(0, 4, 3).fill_(false);
    mask[4].narrow(0, 1, 6).fill_(false);
    run("masked", masked, {.key_mask = mask});
    masked.causal = true;
    masked.dropout = 0.2;
    run("masked with dropout", masked, {.key_mask = mask});
  });
}

TEST_CASE("attention with a cache: a prompt, then two positions one by one") {
  check_modes([](Site& site) {
    at::NoGradGuard no_grad;
    const auto attention = site.add(
        "attention", site.make().attention({.hidden = kWidth,
                                            .num_heads = 12,
                                            .num_kv_heads = 4,
                                            .head_dim = 12,
                                            .rotary = nn::RotaryOptions{{1.0, 0.5, 0.2, 0.1, 0.03, 0.01}},
                                            .init_std = 0.3,
                                            .out_init_std = 0.3}));
    nn::KeyValueCache cache{.capacity = kLength};
    for (const auto& [begin, count] :
         {std::pair<int64_t, int64_t>{0, kLength - 2}, {kLength - 2, 1}, {kLength - 1, 1}}) {
      site.state().sequence_length = count;
      const at::Tensor x = site.part(drawn("x", kStream).narrow(1, begin, count), Place::stream);
      site.output(fmt::format("y {}", begin), attention->forward(x, {.cache = &cache}),
                  {kBatch, count, kWidth}, Place::stream);
    }
  });
}

TEST_CASE("bf16 over fp32 weights: outputs and gradients of linears, attention and norms") {
  const Body body = [](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    const auto norm = site.add("norm", site.make().norm({.size = kWidth}));
    site.output("mlp y", Mlp(site, "mlp", Activation::swiglu)(norm->forward(x)), kStream, Place::stream);
    const auto attention = site.add("attention", site.make().attention({.hidden = kWidth,
                                                                        .num_heads = 12,
                                                                        .num_kv_heads = 3,
                                                                        .head_dim = 12,
                                                                        .init_std = 0.1,
                                                                        .out_init_std = 0.1}));
    site.output("attention y", attention->forward(x, {}), kStream, Place::stream);
  };
  check_modes(body, 4e-2, at::kBFloat16);
}

TEST_CASE("dropout on the residual stream: the mask of the dense run; none in evaluation") {
  const Body body = [](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    site.output("y", site.make().dropout(0.4, "site")->forward(x), kStream, Place::stream);
    site.state().training = false;
    site.output("evaluated", site.make().dropout(0.4, "site")->forward(x), kStream, Place::stream);
    site.state().training = true;
  };
  const Results dense = run_dense(body);
  CHECK(dense.at("y").eq(0).sum().item<int64_t>() > kBatch * kLength * kWidth / 3);
  CHECK(at::equal(dense.at("evaluated"), drawn("x", kStream)));
  check_modes(body, 0);
}

TEST_CASE("2.5D: weight gradients are whole only after the sum over depth") {
  const Body body = [](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    const auto norm = site.add("norm", site.make().norm({.size = kWidth}));
    const auto positions =
        site.add("positions", site.make().learned_positions({.num_embeddings = 9, .size = kWidth}));
    const at::Tensor y = Mlp(site, "mlp", Activation::gelu_tanh)(norm->forward(positions->forward(x, 1)));
    site.output("y", y, kStream, Place::stream);
  };
  const Results dense = run_dense(body);
  for (const int depth : {2, 4}) {
    const Setup setup{{TensorMode::two_and_half_d, int64_t{4} * depth, depth}};
    const auto without = [&](const comm::Axes& left_out) {
      return run_mode(setup, [&](Site& site) {
        site.leave_out(left_out);
        body(site);
      });
    };
    check_close(without({}), dense, 1e-10);
    const auto ranks = without({"depth"});
    for (const Results& r : ranks) {
      for (const auto& [name, expected] : dense) {
        if (name == "y" || name == "d x") continue;
        CAPTURE(name);
        CHECK(difference(r.at(name), expected) > 1e-2);
      }
    }
  }
}

TEST_CASE("replicas of a weight are equal bit for bit, at the start and after steps") {
  for (const Setup& setup : setups()) {
    CAPTURE(setup.text());
    std::vector<int64_t> checked(setup.how.size), wrong(setup.how.size);
    comm::run_ranks(static_cast<int>(setup.how.size), [&](std::shared_ptr<comm::World> world) {
      Site site(mesh_of(world, setup.how), setup, at::kDouble);
      const auto norm = site.add("norm", site.make().norm({.size = kWidth}));
      const Mlp mlp(site, "mlp", Activation::swiglu);
      const auto optimizer = optim::make_optimizer({}, site.parameters(), site.mesh());
      for (int step = 0; step < 4; ++step) {
        for (const nn::Parameter& p : site.parameters()) {
          const comm::Group copies = site.mesh().group(p.layout().replicated_axes());
          const at::Tensor all = comm::all_gather(p.tensor.detach().reshape({1, -1}), copies);
          checked[world->rank()] += copies.size() > 1;
          wrong[world->rank()] += !all.eq(all[0]).all().item<bool>();
        }
        const at::Tensor x = site.part(drawn(fmt::format("x{}", step), kStream), Place::stream);
        mlp(norm->forward(x)).square().sum().backward();
        for (const nn::Parameter& p : site.parameters())
          comm::all_reduce(p.tensor.grad(), site.mesh().group(p.spec.sum_axes));
        optimizer->step({.learning_rate = 0.01});
        for (const nn::Parameter& p : site.parameters()) at::Tensor(p.tensor).mutable_grad().reset();
      }
    });
    for (const int64_t w : wrong) CHECK(w == 0);
    CHECK(checked[0] >= 4);
  }
}

TEST_CASE("3D: operands that are kept and operands that are gathered again give the same bits") {
  const Body body = [](Site& site) {
    const at::Tensor x = site.input("x", kStream, Place::stream);
    site.output("y", Mlp(site, "mlp", Activation::none)(x), kStream, Place::stream);
    site.output("z", Mlp(site, "gated", Activation::swiglu)(x), kStream, Place::stream);
  };
  const auto shards = run_mode({{TensorMode::three_d, 8}}, body);
  const auto gathered = run_mode({{TensorMode::three_d, 8}, Keep::gathered}, body);
  for (size_t rank = 0; rank < shards.size(); ++rank) {
    for (const auto& [name, expected] : shards[rank]) CHECK(at::equal(gathered[rank].at(name), expected));
  }
}

TEST_CASE("what each rank holds of an MLP 256 -> 1024 -> 256 on [16, 256]") {
  struct Expected {
    TensorParallel how;
    std::vector<tensor::Shape> held;  // weights as [in, out], input, after the first, after the second linear
  };
  for (const Expected& expected :
       {Expected{{TensorMode::one_d, 2}, {{256, 512}, {512, 256}, {16, 256}, {16, 512}, {16, 256}}},
        Expected{{TensorMode::two_d, 4}, {{128, 512}, {512, 128}, {8, 128}, {8, 512}, {8, 128}}},
        Expected{{TensorMode::two_and_half_d, 8, 2}, {{128, 512}, {512, 128}, {4, 128}, {4, 512}, {4, 128}}},
        Expected{{TensorMode::three_d, 8}, {{64, 512}, {256, 128}, {4, 128}, {4, 512}, {4, 128}}}}) {
    const TensorParallel& how = expected.how;
    std::vector<std::vector<tensor::Shape>> found(how.size);
    comm::run_ranks(static_cast<int>(how.size), [&](std::shared_ptr<comm::World> world) {
      Site site(mesh_of(world, how), {how}, at::kDouble);
      const auto up = site.make().linear({.in = 256, .out = {1024}});
      const auto down = site.make().linear({.in = 1024, .out = {256}, .role = Role::contract});
      const at::Tensor x = site.part(at::ones({16, 1, 256}, at::kDouble), Place::stream), y = up->forward(x),
                       z = down->forward(y);
      const auto weight = [](nn::Layer& layer) {
        return layer.named_parameters()["weight"].t().sizes().vec();
      };
      const auto rows = [](const at::Tensor& t) { return t.squeeze(1).sizes().vec(); };
      found[world->rank()] = {weight(*up), weight(*down), rows(x), rows(y), rows(z)};
    });
    for (const auto& shapes : found) CHECK(shapes == expected.held);
  }
}

TEST_CASE("sizes that the ranks cannot share are refused when the layer is made") {
  const auto refused = [](const TensorParallel& how, const std::function<void(nn::LayerFactory&)>& make) {
    Site site(mesh_of(comm::World::fake(0, static_cast<int>(how.size)), how), {how}, at::kDouble);
    return error_of<ShapeError>([&] { make(site.make()); });
  };
  const TensorParallel one_d{TensorMode::one_d, 4}, two_d{TensorMode::two_d, 9},
      three_d{TensorMode::three_d, 8};
  CHECK(refused(one_d, [](auto& make) {
          make.attention({.hidden = 12, .num_heads = 6, .num_kv_heads = 2, .head_dim = 4});
        }) == "attention: 6 heads cannot be shared by 4 tensor-parallel ranks. Allowed: a multiple of 4.");
  CHECK(refused(one_d,
                [](auto& make) {
                  make.attention({.hidden = 12, .num_heads = 8, .num_kv_heads = 2, .head_dim = 6});
                }) ==
        "attention: 2 kv heads of 6 cannot be shared by 4 tensor-parallel ranks. Allowed: as many, or of a "
        "size, that is a multiple of 4.");
  CHECK(refused(one_d,
                [](auto& make) {
                  make.linear({.in = 4, .out = {2, 10}, .split = 1});
                }) ==
        "layout of [2, 10, 4]: dim 1 of size 10 does not divide by 4 (tensor). Nearest sizes that do: 8 and "
        "12.");
  CHECK(refused(one_d,
                [](auto& make) {
                  make.linears({{.in = 8, .out = {8}}, {.in = 12, .out = {8}}});
                }) ==
        "linears: the inputs of linear 0 and linear 1 differ (in = 8 and 12). Allowed: the same input, role "
        "and "
        "activation.");
  CHECK(refused(two_d, [](auto& make) { make.norm({.size = 10}); }) ==
        "layout of [10]: dim 0 of size 10 does not divide by 3 (column). Nearest sizes that do: 9 and 12.");
  CHECK(refused(three_d, [](auto& make) { make.linear({.in = 6, .out = {8}}); }) ==
        "layout of [8, 6]: dim 1 of size 6 does not divide by 4 (cube_j x cube_i). Nearest sizes that do: 4 "
        "and 8.");
}
