// SPDX-License-Identifier: Apache-2.0
// The command line: what help looks like, and what a person is told who has mistyped something.
//
//   CLI::App app("...", "colossal");
//   teach(app);                                        // before the commands are added: they inherit it
//   if (!parse(app, {argv + 1, argv + argc})) return 0;   // help or the version was asked for, and printed
//
// Thread safety: one thread.
#pragma once
#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace colossal::cli {

// Help with defaults; every option that is added behind it shows its own.
void teach(CLI::App& app);

// False when help or the version was all that was asked for. `help [command]` is `[command] --help`, and so is nothing at all.
// ConfigError for what is wrong: the nearest thing that is allowed, and the help of the command that was called.
bool parse(CLI::App& app, std::vector<std::string> arguments);

}  // namespace colossal::cli
