// SPDX-License-Identifier: Apache-2.0
// Greedy text with a key-value cache equals what transformers generated, token for token, in fp64 and fp32.
#include <doctest/doctest.h>

#include "colossal/base/error.h"
#include "colossal/checkpoint/huggingface.h"
#include "colossal/models/family.h"
#include "colossal/models/generate.h"
#include "colossal/nn/dense_factory.h"
#include "tests/oracles/models.h"

using namespace colossal;

namespace {

std::shared_ptr<models::LanguageModel> load(const std::string& name, at::ScalarType dtype) {
  const checkpoint::HuggingFaceFolder folder(kModels / name);
  nn::DenseFactory make(comm::Mesh(), std::make_shared<nn::StepState>(), {.compute = dtype});
  auto model = models::build_language_model(folder.config(), make);
  folder.load(nn::parameters(*model, comm::Mesh()), 0);
  return model;
}

}  // namespace

TEST_CASE("greedy generation equals the reference") {
  for (const char* name : {"gpt2", "llama3"}) {
    const checkpoint::SafetensorsReader data(kModels / name / "generate.safetensors");
    const at::Tensor prompt = data.read("prompt");
    const at::Tensor expected = data.read("generated");
    for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
      CAPTURE(name);
      const auto model = load(name, dtype);
      model->state().training = true;
      int64_t tokens = 0;
      const at::Tensor ids = models::generate(
          *model, prompt, {.max_new_tokens = 32, .on_token = [&](const at::Tensor&) { ++tokens; }});
      CHECK(at::equal(ids, expected));
      CHECK(tokens == 32);
      CHECK(model->state().training);
      const at::Tensor one = models::generate(*model, prompt.narrow(0, 1, 1), {.max_new_tokens = 32});
      CHECK(at::equal(one, expected.narrow(0, 1, 1)));
    }
  }
}

TEST_CASE("rows stop at the stop token, the run when all have") {
  const auto model = load("gpt2", at::kDouble);
  const checkpoint::SafetensorsReader data(kModels / "gpt2" / "generate.safetensors");
  const at::Tensor expected = data.read("generated");
  const int64_t stop = expected[0][12].item<int64_t>();
  const at::Tensor ids = models::generate(*model, data.read("prompt").narrow(0, 0, 1),
                                          {.max_new_tokens = 32, .stop_token = stop});
  const int64_t first = (expected[0].narrow(0, 8, 32) == stop).nonzero()[0][0].item<int64_t>() + 8;
  CHECK(at::equal(ids[0], expected[0].narrow(0, 0, first + 1)));
}

TEST_CASE("sampled text depends on the seed only") {
  const auto model = load("llama3", at::kFloat);
  const at::Tensor prompt = at::tensor({5, 6, 7}, at::kLong).unsqueeze(0);
  const models::SamplingOptions warm = {.temperature = 2.0, .top_k = 50};
  const auto run = [&](uint64_t seed) {
    return models::generate(*model, prompt, {.max_new_tokens = 20, .sampling = warm, .seed = seed});
  };
  CHECK(at::equal(run(1), run(1)));
  CHECK(!at::equal(run(1), run(2)));
}

TEST_CASE("a text longer than the model's positions is refused with what fits") {
  const auto model = load("gpt2", at::kFloat);
  CHECK_THROWS_WITH_AS(models::generate(*model, at::zeros({1, 60}, at::kLong), {.max_new_tokens = 10}),
                       "generate: a prompt of 60 and 10 new tokens make 70 positions. Allowed: "
                       "model.max_positions = 64. Nearest: "
                       "4 new tokens.",
                       ConfigError);
}
