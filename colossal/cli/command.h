// SPDX-License-Identifier: Apache-2.0
// A command of the program: it declares its options on the CLI11 app and leaves what to do in `action`.
//
//   Invocation invocation{.arguments = {argv, argv + argc}};
//   add_train(app, invocation);  app.parse(argc, argv);  return invocation.action();
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <vector>

#include "colossal/train/context.h"

namespace colossal::cli {

struct Invocation {
  std::vector<std::string> arguments;  // the whole command line, to start ranks with
  std::function<int()> action;         // returns the exit code; errors are thrown
};

void add_train(CLI::App& app, Invocation& invocation);
void add_generate(CLI::App& app, Invocation& invocation);
void add_verify(CLI::App& app, Invocation& invocation);
void add_tokenize(CLI::App& app, Invocation& invocation);
void add_checkpoint(CLI::App& app, Invocation& invocation);
void add_config(CLI::App& app, Invocation& invocation);
void add_layout(CLI::App& app, Invocation& invocation);
void add_report(CLI::App& app, Invocation& invocation);
void add_doctor(CLI::App& app, Invocation& invocation);

// For commands that take -n: starts the ranks when this process is not one of several already; else it is one of them: launches with
// `options`, runs `body` and reports what it throws to the others.
int run_as_ranks(int num_ranks, const Invocation& invocation, const train::LaunchOptions& options,
                 const std::function<int(const train::Context&)>& body);
// How many ranks the run will have: what the launcher says, else -n.
int world_size(int num_ranks);
// How many of them will be on this host; 0 in a rank that our launcher has started, which has checked the host before.
int ranks_to_check(int num_ranks);

}  // namespace colossal::cli
