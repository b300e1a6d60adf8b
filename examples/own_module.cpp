// SPDX-License-Identifier: Apache-2.0
// Trains a torch::nn::Module of your own, data-parallel, in a loop of your own.
//
//   build/examples/examples_own_module                                   one rank
//   torchrun --no-python --nproc-per-node 2 build/examples/examples_own_module
//   mpirun -n 2 build/examples/examples_own_module
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "colossal/comm/launch/failure.h"
#include "colossal/tensor/random.h"
#include "colossal/train/initialize.h"

// Two spirals, one per class: points [n, 2] and classes [n].
std::shared_ptr<colossal::data::TensorDataset> spirals(int64_t n) {
  const at::Tensor t = at::linspace(0.5, 3 * M_PI, n / 2, at::kFloat);
  const at::Tensor arm = at::stack({t * t.cos(), t * t.sin()}, 1) / 10;
  const at::Tensor points = at::cat({arm, -arm});
  const at::Tensor classes = at::cat({at::zeros({n / 2}, at::kLong), at::ones({n / 2}, at::kLong)});
  return std::make_shared<colossal::data::TensorDataset>(points, classes);
}

struct Classifier : torch::nn::Module {
  explicit Classifier(int64_t width) {
    const std::vector<int64_t> sizes = {2, width, width, 2};
    for (size_t i = 0; i + 1 < sizes.size(); ++i) {
      const double bound = 1 / std::sqrt(static_cast<double>(sizes[i]));
      const std::string name = fmt::format("w{}", i);
      const colossal::tensor::Shape shape = {sizes[i + 1], sizes[i]};
      weights.push_back(register_parameter(
          name, colossal::tensor::uniform(colossal::tensor::RandomKey(1).named(name), shape, {{0, 0}, shape},
                                          -bound, bound, at::kFloat)));
      biases.push_back(register_parameter(fmt::format("b{}", i), at::zeros({sizes[i + 1]})));
    }
  }
  at::Tensor forward(at::Tensor x) {
    for (size_t i = 0; i < weights.size(); ++i) {
      x = at::linear(x, weights[i], biases[i]);
      if (i + 1 < weights.size()) x = at::gelu(x);
    }
    return x;
  }
  std::vector<at::Tensor> weights, biases;
};

int main() try {
  auto context = colossal::launch();
  auto model = std::make_shared<Classifier>(64);
  auto criterion = [](const at::Tensor& y, const at::Tensor& label) {
    return at::cross_entropy_loss(y, label);
  };
  auto [engine, loader] = colossal::initialize(
      context, model, {.name = "adamw", .weight_decay = 0.0}, criterion, spirals(512),
      {.global_batch_size = 64, .pass = colossal::data::Pass::endless, .schedule = {.learning_rate = 5e-3}});

  for (const auto& batch : loader) {
    engine.zero_grad();
    const at::Tensor loss = engine.criterion(engine(batch.input()), batch.label());
    engine.backward(loss);
    const auto step = engine.step();  // step.loss is that of the global batch, on all ranks
    if (context.speaks() && engine.num_steps() % 100 == 0)
      fmt::print("step {}  loss {:.4f}\n", engine.num_steps(), step.loss);
    if (engine.num_steps() == 600) break;
  }
  at::NoGradGuard no_grad;
  const auto all = spirals(512);
  std::vector<int64_t> indices(512);
  std::iota(indices.begin(), indices.end(), 0);
  const auto batch = all->fetch(indices, 0);
  const double accuracy =
      engine(batch.input()).argmax(1).eq(batch.label()).to(at::kDouble).mean().item<double>();
  if (context.speaks()) fmt::print("accuracy {:.3f}\n", accuracy);
  return accuracy > 0.95 ? 0 : 1;
} catch (const std::exception& error) {
  return colossal::comm::report_failure(error, nullptr);
}
