// SPDX-License-Identifier: Apache-2.0
// The program `colossal`: reads the command line, runs one command, turns errors into exit codes.
#include "colossal/base/version.h"
#include "colossal/cli/command.h"
#include "colossal/cli/parse.h"
#include "colossal/comm/launch/failure.h"

namespace colossal::cli {
namespace {

int run(int argc, char** argv) {
  CLI::App app("Trains models of text and images in parallel: one program, one TOML file per run.",
               "colossal");
  teach(app);
  app.set_version_flag("--version", kVersion, "show the version");
  app.require_subcommand(1);
  Invocation invocation{.arguments = {argv, argv + argc}, .action = nullptr};
  add_train(app, invocation);
  add_generate(app, invocation);
  add_verify(app, invocation);
  add_tokenize(app, invocation);
  add_checkpoint(app, invocation);
  add_config(app, invocation);
  add_layout(app, invocation);
  add_report(app, invocation);
  add_doctor(app, invocation);
  app.footer(
      "`colossal COMMAND --help` shows what a command takes. A first run: `colossal train "
      "configs/quickstart.toml -n 2`.\n"
      "The keys of a run file are in docs/config.md, exit codes in docs/errors.md.");
  if (!parse(app, {argv + 1, argv + argc})) return 0;
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
