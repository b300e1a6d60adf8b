// SPDX-License-Identifier: Apache-2.0
// An MLP whose matrices are shared by a square of ranks: nobody ever holds a whole one. It learns to shift a vector by one place.
//
//   torchrun --no-python --nproc-per-node 4 build/examples/examples_linear_2d        1024 -> 16384 -> 1024 on 2 x 2 ranks
//   build/examples/examples_linear_2d 32                                             32 -> 512 -> 32 on one
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "colossal/comm/autograd.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/nn/parameter.h"
#include "colossal/parallel/tensor/linear.h"
#include "colossal/tensor/random.h"
#include "colossal/tensor/redistribute.h"
#include "colossal/train/initialize.h"

using colossal::comm::Mesh;
using colossal::nn::LinearOptions;
using colossal::nn::functional::Activation;
using colossal::parallel::Linear2D;
using colossal::tensor::Layout;

// Each rank holds 1 / p of both matrices, of the input, of what is between them and of the output.
struct Mlp : torch::nn::Module {
  Mlp(const Mesh& mesh, int64_t width, int64_t inner) {
    const LinearOptions expand{.in = width, .out = {inner}, .init_std = std::pow(width, -0.5)};
    const LinearOptions contract{
        .in = inner, .out = {width}, .activation = Activation::gelu_tanh, .init_std = std::pow(inner, -0.5)};
    up = register_module("up", std::make_shared<Linear2D>(mesh, expand));
    down = register_module("down", std::make_shared<Linear2D>(mesh, contract));
  }
  at::Tensor forward(const at::Tensor& x) { return down->forward(up->forward(x)); }
  std::shared_ptr<Linear2D> up, down;
};

std::shared_ptr<colossal::data::TensorDataset> shifts(int64_t n, int64_t width) {
  const auto key = colossal::tensor::RandomKey(7).named("shifts");
  const at::Tensor x = colossal::tensor::normal(key, {n, width}, {{0, 0}, {n, width}}, 0, 1, at::kFloat);
  return std::make_shared<colossal::data::TensorDataset>(x, x.roll(1, 1));
}

int main(int argc, char** argv) try {
  const int64_t width = argc > 1 ? std::atoll(argv[1]) : 1024, rows = 64;
  const int num_ranks = colossal::comm::environment_from_launcher().world_size;
  const int q = static_cast<int>(std::sqrt(num_ranks));
  if (q * q != num_ranks || rows % q != 0)
    throw colossal::ConfigError(fmt::format(
        "linear_2d: {} ranks are no square that shares {} rows. Start 1, 4 or 16 ranks.", num_ranks, rows));
  if (width < q || width % q != 0)
    throw colossal::ConfigError(fmt::format("linear_2d: a width of {} cannot be cut into {}. Nearest: {}.",
                                            argv[1], q, std::max<int64_t>(width / q, 1) * q));
  auto context = colossal::launch({.world = {}, .axes = {{"row", q}, {"column", q}}});
  const Mesh& mesh = context.mesh;
  auto model = std::make_shared<Mlp>(mesh, width, 16 * width);
  colossal::nn::initialize(colossal::nn::parameters(*model, mesh), /*seed=*/1, context.rank());

  // Rows of the batch lie over "row", features over "column"; this rank's piece goes in, and its piece of the output comes out.
  const Layout layout({rows, width}, mesh.shape(), {{"row"}, {"column"}});
  const auto piece = [&](const at::Tensor& x) {
    return colossal::tensor::local_piece(x, layout, context.rank());
  };
  // Every rank has the error of its piece; the sum of them is the loss.
  auto criterion = [&](const at::Tensor& y, const at::Tensor& label) {
    const at::Tensor error = (y - piece(label)).square().sum() / label.numel();
    return colossal::comm::reduce_from(error, mesh.all());
  };
  auto [engine, loader] = colossal::initialize(context, model, {.name = "adamw", .weight_decay = 0.0},
                                               criterion, shifts(1024, width),
                                               {.global_batch_size = rows,
                                                .pass = colossal::data::Pass::endless,
                                                .schedule = {.learning_rate = 2e-3}});

  double last = 1;
  for (const auto& batch : loader) {
    engine.zero_grad();
    const at::Tensor loss = engine.criterion(engine(piece(batch.input())), batch.label());
    engine.backward(loss);
    engine.step();
    last = loss.item<double>();
    if (context.speaks() && engine.num_steps() % 50 == 0)
      fmt::print("step {}  loss {:.4f}\n", engine.num_steps(), last);
    if (engine.num_steps() == 200) break;
  }
  return last < 0.1 ? 0 : 1;
} catch (const std::exception& error) {
  return colossal::comm::report_failure(error, nullptr);
}
