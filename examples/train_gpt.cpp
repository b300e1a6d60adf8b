// SPDX-License-Identifier: Apache-2.0
// Trains a GPT of the library in a loop of your own, data-parallel: it learns to count in steps of one to four.
//
//   build/examples/examples_train_gpt                           one rank
//   torchrun --no-python --nproc-per-node 2 build/examples/examples_train_gpt
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "colossal/comm/collectives.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/models/family.h"
#include "colossal/models/generate.h"
#include "colossal/nn/dense_factory.h"
#include "colossal/nn/parameter.h"
#include "colossal/train/initialize.h"

namespace models = colossal::models;
namespace nn = colossal::nn;

constexpr int64_t kVocabulary = 64, kLength = 32, kBatch = 16, kSteps = 250;

// Sequence i counts from i % 64 in steps of 1 + i / 64, modulo 64: ids and labels [256, kLength].
std::shared_ptr<colossal::data::TensorDataset> counting() {
  const at::Tensor i = at::arange(4 * kVocabulary, at::kLong).unsqueeze(1);
  const at::Tensor stride = 1 + i.div(kVocabulary, "floor");
  const at::Tensor ids = (i + stride * at::arange(kLength, at::kLong)).remainder(kVocabulary);
  return std::make_shared<colossal::data::TensorDataset>(ids, models::next_tokens(ids));
}

int main() try {
  auto context = colossal::launch();
  // The factory decides how layers are spread over the mesh; the model is written once, for all of them.
  auto state = std::make_shared<nn::StepState>(nn::StepState{.seed = 1, .global_rows = kBatch});
  nn::DenseFactory make(context.mesh, state, {.compute = at::kFloat});
  auto model = models::build_language_model({.family = "gpt2",
                                             .num_layers = 2,
                                             .hidden_size = 64,
                                             .num_heads = 4,
                                             .vocab_size = kVocabulary,
                                             .max_positions = kLength,
                                             .dropout = 0.05},
                                            make);
  nn::initialize(nn::parameters(*model, context.mesh), state->seed, context.rank());

  // The loss is divided by the targets of the global batch, so that the sum over ranks is its mean.
  auto criterion = [&](const at::Tensor& ids, const at::Tensor& labels) {
    return model->loss(ids, labels, kBatch * (kLength - 1));
  };
  auto [engine, loader] = colossal::initialize(
      context, model, {.name = "adamw", .weight_decay = 0.01}, criterion, counting(),
      {.global_batch_size = kBatch,
       .pass = colossal::data::Pass::endless,
       .loss_scope = colossal::train::LossScope::global_sum,
       .clip_norm = 1.0,
       .schedule = {.name = "cosine", .learning_rate = 3e-3, .warmup_steps = 20, .total_steps = kSteps},
       .state = state.get()});

  for (const auto& batch : loader) {
    state->first_row = batch.first_row;  // dropout is drawn per row of the global batch
    engine.zero_grad();
    const at::Tensor loss = engine.criterion(batch.input(), batch.label());
    engine.backward(loss);
    engine.step();
    if (engine.num_steps() % 50 == 0) {
      at::Tensor total = loss.detach().clone();
      colossal::comm::all_reduce(total, context.data_group());
      if (context.speaks()) fmt::print("step {}  loss {:.4f}\n", engine.num_steps(), total.item<double>());
    }
    if (engine.num_steps() == kSteps) break;
  }

  engine.eval();
  const at::Tensor prompt = at::tensor({10, 13, 16, 19}, at::kLong).unsqueeze(0);
  const at::Tensor out = models::generate(*model, prompt, {.max_new_tokens = 12});
  const at::Tensor right = (10 + 3 * at::arange(16, at::kLong)).remainder(kVocabulary).unsqueeze(0);
  if (context.speaks()) {
    const std::vector<int64_t> ids(out.data_ptr<int64_t>(), out.data_ptr<int64_t>() + out.numel());
    fmt::print("10 13 16 19 goes on: {}\n", fmt::join(ids, " "));
  }
  return out.equal(right) ? 0 : 1;
} catch (const std::exception& error) {
  return colossal::comm::report_failure(error, nullptr);
}
