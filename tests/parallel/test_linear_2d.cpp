// SPDX-License-Identifier: Apache-2.0
// Linear2D as a user builds it, from nothing but a mesh, against the dense product.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/comm/run_ranks.h"
#include "colossal/nn/parameter.h"
#include "colossal/parallel/tensor/linear.h"
#include "colossal/tensor/redistribute.h"

using namespace colossal;
using parallel::Linear2D;
using tensor::Layout;

namespace {

constexpr int64_t kGridRows = 6, kInputs = 12, kOutputs = 18;

struct Result {
  at::Tensor y, dx, dw;
};

Result product(int q) {
  Result result;
  comm::run_ranks(q * q, [&](std::shared_ptr<comm::World> world) {
    const comm::Mesh mesh(world, comm::MeshShape({{"row", q}, {"column", q}}));
    Linear2D linear(mesh, {.in = kInputs, .out = {kOutputs}, .init_std = 0.5}, at::kDouble);
    const auto parameters = nn::parameters(linear, mesh);
    nn::initialize(parameters, 3, mesh.rank());
    const auto lies = [&](int64_t columns) {
      return Layout({kGridRows, columns}, mesh.shape(), {{"row"}, {"column"}});
    };
    const at::Tensor all = at::arange(kGridRows * kInputs, at::kDouble).sin().view({kGridRows, kInputs});
    const at::Tensor x = tensor::local_piece(all, lies(kInputs), mesh.rank()).clone().requires_grad_();
    const at::Tensor y = linear.forward(x);
    y.square().sum().backward();
    at::NoGradGuard no_grad;
    const Result whole{tensor::gather_full(y, lies(kOutputs), mesh),
                       tensor::gather_full(x.grad(), lies(kInputs), mesh),
                       tensor::gather_full(parameters[0].tensor.grad(), parameters[0].layout(), mesh)};
    if (mesh.rank() == 0) result = whole;
  });
  return result;
}

}  // namespace

TEST_CASE("Linear2D of a mesh: 4 and 9 ranks compute what one does, gradients too") {
  const Result one = product(1);
  CHECK(one.y.abs().max().item<double>() > 1);
  for (const int q : {2, 3}) {
    CAPTURE(q);
    const Result shared = product(q);
    CHECK(at::allclose(shared.y, one.y, 0, 1e-12));
    CHECK(at::allclose(shared.dx, one.dx, 0, 1e-10));
    CHECK(at::allclose(shared.dw, one.dw, 0, 1e-10));
  }
}

TEST_CASE(
    "the MLP of the README, 1024 -> 16384 -> 1024, on four ranks: a quarter of each matrix, the product of "
    "one") {
  constexpr int64_t kThin = 1024, kThick = 16384, kRows = 8;
  const auto mlp = [&](int q) {
    at::Tensor whole;
    comm::run_ranks(q * q, [&](std::shared_ptr<comm::World> world) {
      at::NoGradGuard no_grad;
      const comm::Mesh mesh(world, comm::MeshShape({{"row", q}, {"column", q}}));
      Linear2D up(mesh, {.in = kThin, .out = {kThick}}), down(mesh, {.in = kThick, .out = {kThin}});
      for (Linear2D* linear : {&up, &down}) {
        const auto parameters = nn::parameters(*linear, mesh);
        CHECK(parameters[0].tensor.numel() == kThin * kThick / (q * q));
        nn::initialize(parameters, 3, mesh.rank());
      }
      const Layout layout({kRows, kThin}, mesh.shape(), {{"row"}, {"column"}});
      const at::Tensor x = at::arange(kRows * kThin, at::kFloat).sin().view({kRows, kThin}),
                       y = down.forward(up.forward(tensor::local_piece(x, layout, mesh.rank()).contiguous()));
      CHECK((y.sizes() == at::IntArrayRef({kRows / q, kThin / q})));
      const at::Tensor all = tensor::gather_full(y, layout, mesh);
      if (mesh.rank() == 0) whole = all;
    });
    return whole;
  };
  const at::Tensor one = mlp(1);
  CHECK(one.abs().max().item<double>() > 0.5);
  CHECK(at::allclose(mlp(2), one, 1e-4, 1e-4));
}

TEST_CASE("Linear2D says which meshes it takes") {
  const auto on = [](std::vector<comm::Axis> axes) {
    const comm::MeshShape shape(std::move(axes));
    Linear2D(comm::Mesh(comm::World::fake(0, shape.size()), shape), {.in = 4, .out = {4}});
  };
  CHECK_THROWS_WITH_AS(
      on({{"row", 2}, {"column", 3}}),
      "Linear2D: the mesh \"row 2 x column 3\" is no square of ranks. Allowed: axes \"row\" and "
      "\"column\" of the same size, for example row 2 x column 2.",
      ShapeError);
  CHECK_THROWS_WITH_AS(on({{"data", 4}}),
                       "Linear2D: the mesh \"data 4\" is no square of ranks. Allowed: axes \"row\" and "
                       "\"column\" of the same size, for example row 2 x column 2.",
                       ShapeError);
}
