// SPDX-License-Identifier: Apache-2.0
// colossal train: runs a run file.
#include "colossal/cli/command.h"
#include "colossal/comm/launch/failure.h"
#include "colossal/train/trainer.h"

namespace colossal::cli {
namespace {

struct Options {
  std::string file;
  std::vector<std::string> set;
  int num_ranks = 1;
  bool resume = false;
  bool profile = false;
};

int train_as_rank(train::RunConfig config, const Options& options) {
  train::Context context;
  try {
    context = train::launch(train::launch_options(config));
    train::Trainer trainer(std::move(config), context,
                           options.resume ? train::Resume::newest : train::Resume::no);
    return static_cast<int>(trainer.run());
  } catch (const std::exception& error) {
    return comm::report_failure(error, context.world.get());
  }
}

}  // namespace

void add_train(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a run file says");
  command->add_option("file", options->file, "run file (TOML)")->required();
  command->add_option("-n", options->num_ranks, "number of ranks to start on this host")
      ->check(CLI::PositiveNumber);
  command->add_option("--set", options->set, "section.key=value; may be repeated")->take_all();
  command->add_flag("--resume", options->resume, "continue from the newest good checkpoint under run.output");
  command->add_flag("--profile", options->profile,
                    "write a Chrome trace of every rank (train.profile = true)");
  command->callback([=, &invocation] {
    invocation.action = [options, &invocation] {
      if (options->profile) options->set.push_back("train.profile=true");
      // Checked here, before any rank starts; every rank reads it again.
      train::RunConfig config =
          train::load_run_config(options->file, options->set, world_size(options->num_ranks));
      return run_as_ranks(options->num_ranks, invocation,
                          [&] { return train_as_rank(std::move(config), *options); });
    };
  });
}

}  // namespace colossal::cli
