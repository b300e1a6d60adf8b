// SPDX-License-Identifier: Apache-2.0
// Sharded optimizers against the dense one: same weights and same state, whatever the layout.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/optim/gradient_norm.h"
#include "colossal/optim/optimizer.h"
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

// A matrix sharded both ways, rows only, a fused weight with the middle dim sharded, a sharded and a whole vector.
const std::vector<Logical> kTensors = {{"both", {4, 6}, {{"row"}, {"column"}}},
                                       {"rows", {8, 3}, {{"row", "column"}, {}}},
                                       {"fused", {3, 4, 5}, {{}, {"column"}, {}}},
                                       {"bias", {8}, {{"column"}}, false},
                                       {"norm", {5}, {{}}, false}};

at::Tensor whole(const Logical& t, const std::string& what) {
  return tensor::normal(tensor::RandomKey(1).named(t.name).named(what), t.shape,
                        {tensor::Shape(t.shape.size(), 0), t.shape}, 0, 1, at::kDouble);
}

at::Tensor piece(const at::Tensor& full, const Layout& layout, int rank) {
  at::Tensor local = tensor::local_piece(full, layout, rank).clone(at::MemoryFormat::Contiguous);
  return local.dim() == 3 ? local.view({-1, local.size(2)}) : local;  // fused: a matrix locally
}

struct Trained {
  std::map<std::string, at::Tensor> tensors;  // weights and state, whole
  std::vector<double> norms;
};

Trained train(const OptimizerOptions& options, const comm::Mesh& mesh, bool sharded) {
  std::vector<nn::Parameter> parameters;
  std::vector<Layout> layouts;
  for (const Logical& t : kTensors) {
    layouts.push_back(sharded ? Layout(t.shape, mesh.shape(), t.dims)
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
          piece(whole(kTensors[i], "gradient" + std::to_string(step)), layouts[i], mesh.rank());
    }
    result.norms.push_back(gradient_norm(parameters, mesh).value);
    optimizer->step({.learning_rate = 0.05, .gradient_scale = clip_factor(result.norms.back(), 3)});
  }
  for (const nn::Parameter& p : parameters)
    result.tensors[p.name] = tensor::gather_full(p.tensor, p.layout(), mesh);
  for (const StateTensor& s : optimizer->state())
    result.tensors[s.name] = tensor::gather_full(s.local, s.layout, mesh);
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
}

TEST_CASE("all ranks learn the name of the first parameter with a NaN, wherever it is") {
  comm::run_ranks(4, [](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"row", 2}, {"column", 2}}));
    std::vector<nn::Parameter> parameters;
    for (const Logical& t : kTensors) {
      const Layout layout(t.shape, mesh.shape(), t.dims);
      parameters.push_back(
          {t.name, piece(whole(t, "weight"), layout, mesh.rank()).requires_grad_(), {.layout = layout}});
      parameters.back().tensor.mutable_grad() = at::ones_like(parameters.back().tensor);
    }
    const GradientNorm good = gradient_norm(parameters, mesh);
    if (std::abs(good.value - std::sqrt(24.0 + 24 + 60 + 8 + 5)) > 1e-12)
      throw InternalError("each element counts once");
    if (mesh.rank() == 3)
      parameters[2].tensor.mutable_grad().view(-1)[0] = std::numeric_limits<double>::quiet_NaN();
    if (mesh.rank() == 1)
      parameters[1].tensor.mutable_grad().view(-1)[0] = std::numeric_limits<double>::infinity();
    const GradientNorm bad = gradient_norm(parameters, mesh);
    if (std::isfinite(bad.value) || bad.nonfinite != "rows") throw InternalError("found " + bad.nonfinite);
  });
}
