// SPDX-License-Identifier: Apache-2.0
// colossal generate: continues a prompt with a trained model.
#include "colossal/models/generate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "colossal/base/error.h"
#include "colossal/cli/command.h"
#include "colossal/cli/options.h"
#include "colossal/tensor/allocator.h"
#include "colossal/train/export.h"

namespace colossal::cli {
namespace {

struct GenerateCommand {
  std::string model;
  std::string prompt;
  std::string tokenizer;
  at::ScalarType dtype = at::kFloat;
  int64_t tokens = 128;
  double temperature = 0.8;
  int64_t top_k = 0;
  double top_p = 1;
  uint64_t seed = 1;
};

int generate(const GenerateCommand& options) {
  tensor::install_caching_allocator();
  train::LoadedModel loaded = train::load_for_inference(options.model, comm::Mesh(), options.dtype);
  if (!options.tokenizer.empty()) loaded.tokenizer = data::Tokenizer::load(options.tokenizer);
  if (!loaded.tokenizer)
    throw ConfigError(
        fmt::format("{}: has no tokenizer.json. Name one with --tokenizer FILE.", options.model));
  std::vector<int32_t> ids = loaded.tokenizer->encode(options.prompt, data::SpecialTokens::keep);
  if (ids.empty()) ids.push_back(loaded.tokenizer->end_of_text().value_or(0));
  const at::Tensor prompt = at::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0);
  std::optional<int64_t> stop;
  if (const auto end = loaded.tokenizer->end_of_text()) stop = *end;
  const at::Tensor out = models::generate(
      *loaded.model, prompt,
      {.max_new_tokens = options.tokens,
       .sampling = {.temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p},
       .stop_token = stop,
       .seed = options.seed});
  const at::Tensor fresh = out[0].slice(0, prompt.size(1)).contiguous();
  fmt::print("{}{}\n", options.prompt,
             loaded.tokenizer->decode(std::span<const int64_t>(fresh.data_ptr<int64_t>(), fresh.numel())));
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<GenerateCommand>();
  CLI::App* command =
      app.add_subcommand("generate", "Continue a prompt with a run, a checkpoint or a Hugging Face model");
  command->add_option("model", options->model, "output folder of a run, checkpoint, or Hugging Face folder")
      ->required();
  command->add_option("--prompt", options->prompt, "text to continue");
  command->add_option("--tokens", options->tokens, "most new tokens")->check(whole_number(1));
  command->add_option("--temperature", options->temperature, "0: greedy")->check(number(0));
  command->add_option("--top-k", options->top_k, "only the k likeliest tokens; 0: all")
      ->check(whole_number(0));
  command->add_option("--top-p", options->top_p, "only the likeliest tokens of this mass")
      ->check(number(0, 1));
  command->add_option("--seed", options->seed, "of the random choice");
  command->add_option("--tokenizer", options->tokenizer, "tokenizer.json (default: that of the model)");
  add_dtype(command, options->dtype, {"float32", "bfloat16"});
  command->callback([=, &invocation] { invocation.action = [options] { return generate(*options); }; });
}

}  // namespace colossal::cli
