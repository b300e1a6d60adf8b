// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/nn/layer.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/redistribute.h"

using namespace colossal;
using namespace colossal::nn;
using tensor::Layout;

namespace {

const comm::MeshShape kMesh({{"data", 1}, {"tensor", 3}});

struct Scale : Layer {
  explicit Scale(int64_t size) {
    weight = add_parameter(
        "weight", {size}, {.layout = Layout::replicated({size}, kMesh), .init = Init::ones(), .decay = false},
        at::kDouble);
  }
  at::Tensor weight;
};

// A fused weight: logically [2, 6, 4] with dim 1 sharded, locally a matrix [2 * 2, 4].
struct Fused : Layer {
  Fused() {
    weight = add_parameter(
        "weight", {4, 4},
        {.layout = Layout({2, 6, 4}, kMesh, {{}, {"tensor"}, {}}), .init = Init::normal(0.5)}, at::kDouble);
    bias = add_parameter(
        "bias", {4},
        {.layout = Layout({12}, kMesh, {{"tensor"}}), .init = Init::uniform(0.1), .decay = false},
        at::kDouble);
    norm = register_module("norm", std::make_shared<Scale>(4));
  }
  at::Tensor weight, bias;
  std::shared_ptr<Scale> norm;
};

struct Tied : Layer {
  explicit Tied(const Fused& other) { tie_parameter("weight", other.weight, other.specs().at("weight")); }
};

struct Foreign : torch::nn::Module {
  Foreign() {
    register_parameter("w", at::full({2, 3}, 5.0));
    register_parameter("b", at::full({3}, 6.0));
  }
};

struct Model : torch::nn::Module {
  Model() {
    fused = register_module("fused", std::make_shared<Fused>());
    register_module("tied", std::make_shared<Tied>(*fused));
    register_module("foreign", std::make_shared<Foreign>());
  }
  std::shared_ptr<Fused> fused;
};

}  // namespace

TEST_CASE("parameters come in registration order, tied ones once, with their specs") {
  const auto found = parameters(Model(), comm::Mesh());
  std::vector<std::string> names;
  for (const Parameter& p : found) names.push_back(p.name);
  CHECK(names == std::vector<std::string>{"fused.weight", "fused.bias", "fused.norm.weight", "foreign.w",
                                          "foreign.b"});
  CHECK(found[0].layout().describe() == "[2, 6/tensor, 4]");
  CHECK(found[0].spec.decay);
  CHECK_FALSE(found[2].spec.decay);
  CHECK(found[3].layout() == Layout::replicated({2, 3}, {}));
  CHECK(found[3].spec.decay);
  CHECK_FALSE(found[4].spec.decay);
  for (const Parameter& p : found) CHECK(p.tensor.requires_grad());
}

TEST_CASE("initialize gives every rank its slice of the same logical tensor") {
  const auto key = tensor::RandomKey(9).named("fused.weight");
  const at::Tensor full = tensor::normal(key, {2, 6, 4}, {{0, 0, 0}, {2, 6, 4}}, 0, 0.5, at::kDouble);
  for (int rank = 0; rank < 3; ++rank) {
    Model model;
    const auto found = parameters(model, comm::Mesh());
    initialize(found, 9, rank);
    CHECK(at::equal(found[0].tensor.view({2, 2, 4}), full.narrow(1, 2 * rank, 2)));
    CHECK(found[1].tensor.abs().max().item<double>() < 0.1);
    CHECK(found[1].tensor.abs().max().item<double>() > 0);
    CHECK(at::equal(found[2].tensor, at::ones({4}, at::kDouble)));
    CHECK(at::equal(found[3].tensor, at::full({2, 3}, 5.0)));
  }
}

TEST_CASE("initialize gives padded layouts the same logical values and zeros behind them") {
  struct Padded : Layer {
    Padded(const comm::MeshShape& mesh, Init init) {  // fused: logically [2, 7, 4], locally a matrix
      const Layout layout = Layout::padded({2, 7, 4}, mesh, {{}, {"tensor"}, {}});
      weight = add_parameter("weight", {layout.local_numel() / 4, 4}, {.layout = layout, .init = init},
                             at::kDouble);
      at::NoGradGuard no_grad;
      weight.fill_(std::nan(""));
    }
    at::Tensor weight;
  };
  for (const Init init : {Init::zeros(), Init::ones(), Init::normal(0.5), Init::uniform(0.1)}) {
    const comm::MeshShape one({{"tensor", 1}});
    Padded dense(one, init);
    initialize(parameters(dense, comm::Mesh()), 9, 0);
    for (const int ranks : {2, 3, 5}) {  // 2 x 4 rows; 3 x 3, the last with one; 5 x 2, the last with none
      const comm::MeshShape mesh({{"tensor", ranks}});
      for (int rank = 0; rank < ranks; ++rank) {
        Padded model(mesh, init);
        const auto found = parameters(model, comm::Mesh());
        initialize(found, 9, rank);
        const Layout& layout = found[0].layout();
        CHECK(at::equal(found[0].tensor.view(layout.local_shape()),
                        tensor::local_piece(dense.weight.view({2, 7, 4}), layout, rank)));
      }
    }
  }
}

TEST_CASE("a local shape that is not the layout's share is refused") {
  struct Wrong : Layer {
    Wrong() {
      add_parameter("weight", {5, 4}, {.layout = Layout({2, 6, 4}, kMesh, {{}, {"tensor"}, {}})},
                    at::kDouble);
    }
  };
  CHECK_THROWS_WITH_AS(
      Wrong(),
      "parameter weight: local shape [5, 4] has 20 elements, its layout [2, 6/tensor, 4] gives each rank 16.",
      ShapeError);
}
