// SPDX-License-Identifier: Apache-2.0
// colossal tokenize: text to token files, or line by line.
#include <iostream>

#include "colossal/base/error.h"
#include "colossal/cli/command.h"
#include "colossal/cli/options.h"
#include "colossal/data/text_source.h"
#include "colossal/data/tokenize_command.h"

namespace colossal::cli {

namespace {
struct TokenizeCommand {
  std::string tokenizer = "bytes";
  std::string output;
  std::string text_key = "text";
  std::vector<std::string> inputs;
  bool jsonl = false;
  int threads = 1;
};

int tokenize(const TokenizeCommand& options) {
  const auto tokenizer = data::Tokenizer::load(options.tokenizer);
  if (options.jsonl) {
    std::ios::sync_with_stdio(false);
    data::tokenize_lines(*tokenizer, options.text_key, std::cin, std::cout);
    std::cout.flush();
    return 0;
  }
  if (options.output.empty() || options.inputs.empty())
    throw ConfigError(
        "command line: tokenize needs --jsonl, or --output FOLDER and at least one input. See `colossal "
        "tokenize --help`.");
  try {
    data::expand_sources(options.inputs);
  } catch (const IoError& error) {
    throw ConfigError(error.what());  // the command line names nothing to read
  }
  data::tokenize_files(options.inputs, options.output, *tokenizer,
                       {.cache = options.output, .text_key = options.text_key, .threads = options.threads},
                       std::cout);
  return 0;
}
}  // namespace

void add_tokenize(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TokenizeCommand>();
  CLI::App* command = app.add_subcommand("tokenize", "Turn text into token files, or lines of JSON into ids");
  command->add_option("inputs", options->inputs,
                      "text or .jsonl files (.gz and .zst too), folders, patterns");
  command
      ->add_option("--tokenizer", options->tokenizer,
                   "tokenizer.json, a folder that holds one, or \"bytes\": one token per byte")
      ->type_name("FILE");
  command->add_option("--output", options->output, "folder for the token files (.bin and .idx)")
      ->type_name("FOLDER");
  command->add_option("--text-key", options->text_key, "key of the text in JSON lines")->type_name("KEY");
  command->add_option("--threads", options->threads, "threads that encode")
      ->type_name("N")
      ->check(whole_number(1, 4096));
  command->add_flag("--jsonl", options->jsonl,
                    "read {\"text\"} lines from standard input, print {\"ids\", \"decoded\"} lines");
  command->footer(
      "Examples:\n"
      "  colossal tokenize corpus.jsonl.zst --tokenizer llama/tokenizer.json --output tokens\n"
      "  echo '{\"text\": \"Hello\"}' | colossal tokenize --jsonl\n"
      "Token files are what data.train of a run file takes. A run does this by itself for text; here it is "
      "done once.");
  command->callback([=, &invocation] { invocation.action = [options] { return tokenize(*options); }; });
}

}  // namespace colossal::cli
