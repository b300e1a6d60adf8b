// SPDX-License-Identifier: Apache-2.0
// Sharded optimizers against the dense one: same weights and same state, whatever the layout.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/optim/optimizer.h"
#include "colossal/tensor/cast_cache.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/redistribute.h"

using namespace colossal;
using namespace colossal::optim;
using tensor::Layout;

namespace {

struct Logical {
  std::string name;
  tensor::Shape shape;
  std::vector<comm::Axes> dims;
  bool decay = true;
};

// A matrix sharded both ways, rows only, a fused weight with the middle dim sharded, a sharded and a whole vector; then the same where
// nothing divides (five rows over four ranks: the last holds none).
const std::vector<Logical> kTensors = {{"both", {4, 6}, {{"row"}, {"column"}}},
                                       {"rows", {8, 3}, {{"row", "column"}, {}}},
                                       {"fused", {3, 4, 5}, {{}, {"column"}, {}}},
                                       {"bias", {8}, {{"column"}}, false},
                                       {"norm", {5}, {{}}, false},
                                       {"padded both", {5, 7}, {{"row"}, {"column"}}},
                                       {"padded rows", {5, 3}, {{"row", "column"}, {}}},
                                       {"padded fused", {3, 5, 4}, {{}, {"column"}, {}}},
                                       {"padded bias", {7}, {{"row", "column"}}, false}};

at::Tensor whole(const Logical& t, const std::string& what) {
  return tensor::normal(tensor::RandomKey(1).named(t.name).named(what), t.shape,
                        {tensor::Shape(t.shape.size(), 0), t.shape}, 0, 1, at::kDouble);
}

at::Tensor piece(const at::Tensor& full, const Layout& layout, int rank) {
  at::Tensor local = tensor::local_piece(full, layout, rank).clone(at::MemoryFormat::Contiguous);
  return local.dim() == 3 ? local.view({-1, local.size(2)}) : local;  // fused: a matrix locally
}

// This rank's part of a gradient, with junk in the padding: nothing may depend on it.
at::Tensor gradient_piece(const at::Tensor& full, const Layout& layout, int rank) {
  const at::Tensor local = piece(full, layout, rank);
  at::Tensor junk = at::full_like(local, 7);
  tensor::without_padding(junk, layout, rank).copy_(tensor::without_padding(local, layout, rank));
  return junk;
}

void check_padding_is_zero(const std::string& name, const at::Tensor& local, const Layout& layout,
                           const at::Tensor& full, int rank) {
  if (!at::equal(local.reshape(layout.local_shape()), tensor::local_piece(full, layout, rank)))
    throw InternalError(fmt::format("{} {}: the padding was written to", name, layout.describe()));
}

struct Trained {
  std::map<std::string, at::Tensor> tensors;  // weights and state, whole
  std::vector<double> norms;
};

Trained train(const OptimizerOptions& options, const comm::Mesh& mesh, bool sharded) {
  std::vector<nn::Parameter> parameters;
  std::vector<Layout> layouts;
  for (const Logical& t : kTensors) {
    layouts.push_back(sharded ? Layout::padded(t.shape, mesh.shape(), t.dims)
                              : Layout::replicated(t.shape, mesh.shape()));
    parameters.push_back({t.name,
                          piece(whole(t, "weight"), layouts.back(), mesh.rank()).requires_grad_(),
                          {.layout = layouts.back(), .decay = t.decay}});
  }
  const auto optimizer = make_optimizer(options, parameters, mesh);
  Trained result;
  for (int step = 0; step < 4; ++step) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      parameters[i].tensor.mutable_grad() =
          gradient_piece(whole(kTensors[i], "gradient" + std::to_string(step)), layouts[i], mesh.rank());
    }
    result.norms.push_back(gradient_norm(parameters, mesh).value);
    optimizer->step({.learning_rate = 0.05, .gradient_scale = clip_factor(result.norms.back(), 3)});
  }
  const auto gather = [&](const std::string& name, const at::Tensor& local, const Layout& layout) {
    const at::Tensor& full = result.tensors[name] = tensor::gather_full(local, layout, mesh);
    check_padding_is_zero(name, local, layout, full, mesh.rank());
  };
  for (const nn::Parameter& p : parameters) gather(p.name, p.tensor, p.layout());
  for (const StateTensor& s : optimizer->state()) gather(s.name, s.local, s.layout);
  return result;
}

void compare(const OptimizerOptions& options, const comm::MeshShape& shape) {
  const Trained dense = train(options, comm::Mesh(), false);
  comm::run_ranks(shape.size(), [&](std::shared_ptr<comm::World> world) {
    const Trained sharded = train(options, comm::Mesh(world, shape), true);
    if (sharded.tensors.size() != dense.tensors.size()) throw InternalError("other state tensors");
    for (const auto& [name, value] : dense.tensors) {
      const double worst = (sharded.tensors.at(name) - value).abs().max().item<double>();
      if (!(worst < 1e-12))
        throw InternalError(fmt::format("{}: {} differs by {}", options.name, name, worst));
    }
    for (size_t i = 0; i < dense.norms.size(); ++i) {
      if (!(std::abs(sharded.norms[i] - dense.norms[i]) < 1e-12))
        throw InternalError("gradient norm differs");
    }
  });
}

}  // namespace

TEST_CASE("every optimizer gives the dense result on sharded tensors") {
  const comm::MeshShape mesh({{"data", 1}, {"row", 2}, {"column", 2}});
  for (const char* name : {"adamw", "adam", "sgd", "lamb", "lars", "adafactor"}) {
    OptimizerOptions options{.name = name, .weight_decay = 0.1};
    if (std::string(name) == "sgd" || std::string(name) == "lars" || std::string(name) == "adafactor")
      options.momentum = 0.9;
    compare(options, mesh);
  }
  compare({.name = "adafactor", .adafactor = {.relative_step = true}},
          comm::MeshShape({{"data", 2}, {"row", 1}, {"column", 2}}));
  // What padding would spoil first: 0 / 0 without an eps, and means that count an eps of its own.
  compare({.name = "adamw", .eps = 0, .amsgrad = true}, mesh);
  compare({.name = "lamb", .eps = 0}, mesh);
  compare({.name = "adafactor", .adafactor = {.square_eps = 0.5}}, mesh);
}

TEST_CASE("the cached low-precision copy follows the steps of a padded weight") {
  const Layout layout = Layout::padded({5, 3}, comm::MeshShape({{"tensor", 2}}), {{"tensor"}, {}});
  for (const char* name : {"adamw", "sgd"}) {
    const at::Tensor w = at::ones({3, 3}).requires_grad_();
    w.mutable_grad() = at::ones({3, 3});
    const auto optimizer = make_optimizer({.name = name}, {{"w", w, {.layout = layout}}}, comm::Mesh());
    CHECK(at::equal(tensor::cached_cast(w, at::kBFloat16), at::ones({3, 3}, at::kBFloat16)));
    optimizer->step({.learning_rate = 0.25});
    CHECK(tensor::cached_cast(w, at::kBFloat16)[0][0].item<double>() < 0.8);
    CHECK(at::equal(tensor::cached_cast(w, at::kBFloat16), w.detach().to(at::kBFloat16)));
  }
}

TEST_CASE("all ranks learn the name of the first parameter with a NaN, wherever it is") {
  comm::run_ranks(4, [](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"row", 2}, {"column", 2}}));
    std::vector<nn::Parameter> parameters;
    for (const Logical& t : kTensors) {
      const Layout layout = Layout::padded(t.shape, mesh.shape(), t.dims);
      parameters.push_back(
          {t.name, piece(whole(t, "weight"), layout, mesh.rank()).requires_grad_(), {.layout = layout}});
      parameters.back().tensor.mutable_grad() = at::ones_like(parameters.back().tensor);
    }
    const GradientNorm good = gradient_norm(parameters, mesh);
    if (std::abs(good.value - std::sqrt(24.0 + 24 + 60 + 8 + 5 + 35 + 15 + 60 + 7)) > 1e-12)
      throw InternalError("each element counts once");
    if (mesh.rank() == 3)
      parameters[2].tensor.mutable_grad().view(-1)[0] = std::numeric_limits<double>::quiet_NaN();
    if (mesh.rank() == 1)
      parameters[1].tensor.mutable_grad().view(-1)[0] = std::numeric_limits<double>::infinity();
    const GradientNorm bad = gradient_norm(parameters, mesh);
    if (std::isfinite(bad.value) || bad.nonfinite != "rows") throw InternalError("found " + bad.nonfinite);
  });
}
