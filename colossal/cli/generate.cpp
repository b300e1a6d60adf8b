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

constexpr int64_t kUsualTokens = 128;

struct GenerateCommand {
  std::string model;
  std::string prompt;
  std::string tokenizer;
  at::ScalarType dtype = at::kFloat;
  int64_t tokens = 0;  // 0: kUsualTokens, or as many as the model has room for
  double temperature = 0.8;
  int64_t top_k = 0;
  double top_p = 1;
  uint64_t seed = 1;
};

const data::Tokenizer& tokenizer_of(const train::LoadedModel& loaded, const GenerateCommand& options) {
  const int64_t known = loaded.model->config().vocab_size;
  if (!loaded.lost_tokenizer.empty()) {
    throw ConfigError(fmt::format(
        "{}: was trained with the tokenizer {}, which is not there{}. Name it with --tokenizer FILE.",
        options.model, loaded.lost_tokenizer,
        loaded.lost_tokenizer.starts_with('/') ? "" : " (seen from the working folder)"));
  }
  if (!loaded.tokenizer) {
    throw ConfigError(
        fmt::format("{}: has no tokenizer.json. Name one with --tokenizer FILE{}.", options.model,
                    known == data::kByteIds
                        ? ", or write --tokenizer bytes: the model knows 257 tokens, as many as there are "
                          "bytes and an end of text"
                        : ""));
  }
  if (loaded.tokenizer->vocab_size() > known) {
    throw ConfigError(
        fmt::format("--tokenizer {}: has {} ids, but {} knows only {}. Name the tokenizer that the model was "
                    "trained with.",
                    options.tokenizer.empty() ? options.model : options.tokenizer,
                    loaded.tokenizer->vocab_size(), options.model, known));
  }
  return *loaded.tokenizer;
}

// How many tokens to write behind a prompt of `length`.
int64_t tokens_behind(int64_t length, const models::ModelConfig& config, const GenerateCommand& options) {
  const int64_t room = config.max_positions - length;
  if (room < 1) {
    throw ConfigError(
        fmt::format("--prompt: has {} token{}, and the model takes {} with those to come "
                    "(model.max_positions). Allowed: at most {}.",
                    length, length == 1 ? "" : "s", config.max_positions, config.max_positions - 1));
  }
  if (options.tokens > room) {
    throw ConfigError(
        fmt::format("--tokens {}: the prompt has {} token{}, and the model takes {} in all "
                    "(model.max_positions). Allowed: at most {}.",
                    options.tokens, length, length == 1 ? "" : "s", config.max_positions, room));
  }
  return options.tokens > 0 ? options.tokens : std::min(room, kUsualTokens);
}

int generate(const GenerateCommand& options) {
  tensor::install_caching_allocator();
  const train::LoadedModel loaded =
      train::load_for_inference(options.model, comm::Mesh(), options.dtype, options.tokenizer);
  const data::Tokenizer& tokenizer = tokenizer_of(loaded, options);
  std::vector<int32_t> ids = tokenizer.encode(options.prompt, data::SpecialTokens::keep);
  if (ids.empty()) ids.push_back(tokenizer.end_of_text().value_or(0));
  const at::Tensor prompt = at::tensor(std::vector<int64_t>(ids.begin(), ids.end())).unsqueeze(0);
  std::optional<int64_t> stop;
  if (const auto end = tokenizer.end_of_text()) stop = *end;
  const at::Tensor out = models::generate(
      *loaded.model, prompt,
      {.max_new_tokens = tokens_behind(prompt.size(1), loaded.model->config(), options),
       .sampling = {.temperature = options.temperature, .top_k = options.top_k, .top_p = options.top_p},
       .stop_token = stop,
       .seed = options.seed});
  const at::Tensor fresh = out[0].slice(0, prompt.size(1)).contiguous();
  fmt::print("{}{}\n", options.prompt,
             tokenizer.decode(std::span<const int64_t>(fresh.data_ptr<int64_t>(), fresh.numel())));
  return 0;
}

}  // namespace

void add_generate(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<GenerateCommand>();
  CLI::App* command =
      app.add_subcommand("generate", "Continue a prompt with a run, a checkpoint or a Hugging Face model");
  command->add_option("model", options->model, "output folder of a run, checkpoint, or Hugging Face folder")
      ->required();
  command->add_option("--prompt", options->prompt, "text to continue")
      ->type_name("TEXT")
      ->default_str("none: the model begins a text");
  command->add_option("--tokens", options->tokens, "most tokens to write; fewer where the text ends")
      ->type_name("N")
      ->default_str(fmt::format("{}, or as many as the model has room for", kUsualTokens))
      ->check(whole_number(1));
  command
      ->add_option("--temperature", options->temperature,
                   "below 1 is safer, above 1 wilder; 0 takes the likeliest")
      ->type_name("X")
      ->check(number(0, 100));
  command->add_option("--top-k", options->top_k, "choose among the K likeliest tokens; 0: all")
      ->type_name("K")
      ->check(whole_number(0));
  command
      ->add_option("--top-p", options->top_p,
                   "choose among the likeliest tokens that together have this probability")
      ->type_name("P")
      ->check(number(0, 1));
  command->add_option("--seed", options->seed, "of the random choice: the same seed writes the same text")
      ->type_name("N")
      ->check(whole_number(0, std::numeric_limits<int64_t>::max()));
  command
      ->add_option("--tokenizer", options->tokenizer, "tokenizer.json, a folder that holds one, or \"bytes\"")
      ->type_name("FILE")
      ->default_str("that of the model");
  add_dtype(command, options->dtype, {"float32", "bfloat16"});
  command->footer("Example: colossal generate runs/quickstart --prompt \"And God said\" --temperature 0.7");
  command->callback([=, &invocation] { invocation.action = [options] { return generate(*options); }; });
}

}  // namespace colossal::cli
