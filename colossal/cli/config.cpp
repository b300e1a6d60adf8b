// SPDX-License-Identifier: Apache-2.0
// colossal config: the resolved configuration of a run, or the reference of all keys.
#include "colossal/train/config.h"

#include <fmt/format.h>

#include "colossal/cli/command.h"
#include "colossal/cli/options.h"

namespace colossal::cli {
namespace {

struct ConfigCommand {
  RunFile run;
  bool markdown = false;
  bool schema = false;
  bool short_form = false;
};

int show(const ConfigCommand& options) {
  if (options.markdown) {
    fmt::print("{}", train::run_config_reference());
  } else if (options.schema) {
    fmt::print("{}\n", train::run_config_json_schema().dump(2));
  } else {
    const auto detail = options.short_form ? train::Detail::values : train::Detail::with_help;
    fmt::print("{}", train::run_config_toml(options.run.load(), detail));
  }
  return 0;
}

}  // namespace

void add_config(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<ConfigCommand>();
  CLI::App* command =
      app.add_subcommand("config", "Check a run file and print every key with its value and meaning");
  auto* file = options->run.add_to(command, "ranks that the run will have; starts none");
  auto* markdown = command->add_flag("--markdown", options->markdown,
                                     "print the reference of all keys instead, as in docs/config.md");
  auto* schema = command->add_flag("--schema", options->schema, "print the JSON schema of run files instead");
  command->add_flag("--short", options->short_form, "values only, without their meaning");
  command->footer("Example: colossal config run.toml -n 4 --set train.precision=bf16");
  command->callback([=, &invocation] {
    if (file->empty() && markdown->empty() && schema->empty()) throw CLI::RequiredError("file");
    invocation.action = [options] { return show(*options); };
  });
}

}  // namespace colossal::cli
