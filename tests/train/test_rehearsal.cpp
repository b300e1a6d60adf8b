// SPDX-License-Identifier: Apache-2.0
// One rank of a larger world, alone: on meta tensors it takes the bytes that it takes with real ones. (Real ranks: process_rehearsal.cpp.)
#include <doctest/doctest.h>

#include "tests/support/error.h"
#include "tests/train/rehearsal_cases.h"

using namespace colossal;
using namespace colossal::testing;
using train::rehearse;

namespace {

// Everything but the peak and the time.
void check_same(Json planned, Json real) {
  for (const char* field : {"seconds", "peak_bytes"}) {
    real.erase(field);
    planned.erase(field);
  }
  CHECK(planned == real);
}

}  // namespace

TEST_CASE("one rank of 16 and of 64 on meta tensors takes the bytes that it takes with real ones") {
  for (const int ranks : {16, 64}) {
    for (RehearsalCase c : rehearsal_cases(ranks)) {
      for (const double dropout : {0.0, 0.1}) {  // on attention probabilities: another way through attention
        CAPTURE(c.name);
        CAPTURE(dropout);
        c.rehearsal.model.attention_dropout = dropout;
        const train::StepCost real = rehearse(comm::World::fake(0, ranks), c.rehearsal);
        const train::StepCost planned = rehearse(comm::World::fake(0, ranks, at::kMeta), c.rehearsal);
        check_same(train::to_json(planned), train::to_json(real));
        // Where a gradient arrives from two sides autograd adds in place, but on meta into a tensor of its own.
        const int64_t stream = c.name.starts_with("bert") ? 6 * 10 * 64 * 4 : 0;
        CHECK(real.peak_bytes >= planned.peak_bytes - stream);
        CHECK(real.peak_bytes <= planned.peak_bytes + 16);  // numbers that the fake backend multiplies with
      }
    }
  }
}

TEST_CASE("bf16: the same but for operands that kernels of the CPU widen for a moment") {
  for (const int ranks : {1, 64}) {
    for (RehearsalCase c : rehearsal_cases(ranks)) {
      CAPTURE(c.name);
      c.rehearsal.compute = at::kBFloat16;
      const train::StepCost real = rehearse(comm::World::fake(0, ranks), c.rehearsal);
      const train::StepCost planned = rehearse(comm::World::fake(0, ranks, at::kMeta), c.rehearsal);
      check_same(train::to_json(planned), train::to_json(real));
      CHECK(real.peak_bytes >= planned.peak_bytes);
      CHECK(static_cast<double>(real.peak_bytes) <= 1.15 * static_cast<double>(planned.peak_bytes));
    }
  }
}

TEST_CASE("a head that scores the masked tokens alone is planned so") {
  train::Rehearsal r{.model = rehearsal_model("bert"), .batch_size = 32, .sequence_length = 12};
  r.model.vocab_size = 5000;  // logits of all tokens would be most of the peak
  const auto planned = [&](double share) {
    r.mask_probability = share;
    return rehearse(comm::World::fake(0, 1, at::kMeta), r);
  };
  const train::StepCost usual = planned(0.15), most = planned(1);
  CHECK(usual.input_bytes == 8 * (3 * 32 * 12 + 32));  // ids, types and labels; of pairs one
  CHECK(most.input_bytes == usual.input_bytes);
  // Of 0.85 of the 384 tokens there are no logits, nor what the layer before the head keeps.
  const int64_t logits = 4 * 5000 * (32 * 12 - 58);
  CHECK(most.peak_bytes - usual.peak_bytes >= logits);
  CHECK(most.peak_bytes - usual.peak_bytes < logits + logits / 10);
}

TEST_CASE("between steps a rank holds weights and two moments of each") {
  const train::Rehearsal r{.model = rehearsal_model("gpt2"), .batch_size = 6, .sequence_length = 10};
  const train::StepCost cost = rehearse(comm::World::fake(0, 1, at::kMeta), r);
  const int64_t numbers = models::count_parameters(models::complete(r.model)).total;
  CHECK(cost.input_bytes == 2 * 6 * 10 * 8);  // ids and labels
  CHECK(cost.parameter_bytes == 4 * numbers);
  CHECK(cost.state_bytes == 12 * numbers + 8);  // and the last loss
}

TEST_CASE("ViT on 64 ranks: 2D and 2.5D take more than 14 times the batch of 1D, as was published") {
  models::ModelConfig vit = models::family("vit").usual;  // the sizes of docs/performance.md
  vit.num_layers = 32;
  vit.hidden_size = 4096;
  vit.num_heads = 64;
  const auto fits = [&](const parallel::TensorParallel& how, int64_t batch) {
    const train::Rehearsal r{.model = vit, .tensor = how, .batch_size = batch, .compute = at::kBFloat16};
    return rehearse(comm::World::fake(0, 64, at::kMeta), r).peak_bytes <= int64_t{40} << 30;
  };
  using parallel::TensorMode;
  CHECK(fits({TensorMode::one_d, 64}, 189));
  CHECK(!fits({TensorMode::one_d, 64}, 190));
  CHECK(fits({TensorMode::two_d, 64}, 20 * 190));
  CHECK(fits({TensorMode::two_and_half_d, 64, 4}, 18 * 190 + 4));
  CHECK(fits({TensorMode::three_d, 64}, 19 * 190));
}

TEST_CASE("a rehearsal refuses sizes that are none") {
  const auto world = comm::World::fake(0, 6, at::kMeta);
  train::Rehearsal r{.model = rehearsal_model("gpt2"), .tensor = {parallel::TensorMode::two_d, 6}};
  CHECK(error_of([&] { rehearse(world, r); }) ==
        "rehearsal: size = 6 is not a square. Nearest sizes that are: 4 and 9.");
  r.tensor = {parallel::TensorMode::two_d, 4};
  CHECK(error_of([&] { rehearse(world, r); }) ==
        "rehearsal: a tensor mode of 4 ranks in a world of 6. Allowed: as many.");
}
