// SPDX-License-Identifier: Apache-2.0
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <cstdio>

#include "colossal/base/error.h"
#include "colossal/base/text.h"
#include "colossal/base/version.h"
#include "colossal/cli/command.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/comm/launch/failure.h"

namespace colossal::cli {
namespace {

// CLI11 only misses a command where the person has mistyped one.
std::string problem_of(const CLI::App& app, const CLI::ParseError& error, int argc, char** argv) {
  const std::string first = argc > 1 ? argv[1] : "-";
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands({})) commands.push_back(command->get_name());
  if (first[0] == '-' || std::find(commands.begin(), commands.end(), first) != commands.end())
    return fmt::format("{}.", error.what());
  const auto near = did_you_mean(first, commands);
  return fmt::format("there is no command \"{}\".{}", first,
                     near ? fmt::format(" Did you mean \"{}\"?", *near) : "");
}

int parse(CLI::App& app, int argc, char** argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return -1;
  } catch (const CLI::CallForVersion&) {
    fmt::print("colossal {}\n", kVersion);
    return -1;
  } catch (const CLI::ParseError& error) {
    throw ConfigError(
        fmt::format("command line: {} See `colossal --help`.", problem_of(app, error, argc, argv)));
  }
  return 0;
}

int run(int argc, char** argv) {
  CLI::App app("Trains and serves large models in parallel: one program, one TOML file per run.", "colossal");
  app.set_version_flag("--version", kVersion);
  app.require_subcommand(1);
  Invocation invocation{.arguments = {argv, argv + argc}, .action = nullptr};
  add_train(app, invocation);
  add_generate(app, invocation);
  add_verify(app, invocation);
  add_tokenize(app, invocation);
  add_checkpoint(app, invocation);
  add_config(app, invocation);
  add_report(app, invocation);
  add_doctor(app, invocation);
  if (parse(app, argc, argv) != 0) return 0;
  return invocation.action();
}

}  // namespace
}  // namespace colossal::cli

int main(int argc, char** argv) {
  try {
    return colossal::cli::run(argc, argv);
  } catch (const std::exception& error) {
    return colossal::comm::report_failure(error, nullptr);
  }
}
