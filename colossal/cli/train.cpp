// SPDX-License-Identifier: Apache-2.0
// colossal train: runs a run file.
#include "colossal/cli/command.h"
#include "colossal/cli/options.h"
#include "colossal/train/trainer.h"

namespace colossal::cli {
namespace {

struct TrainCommand {
  RunFile run;
  bool resume = false;
  bool profile = false;
};

int train(const TrainCommand& options, const Invocation& invocation) {
  const train::RunConfig config =
      options.run.load();  // checked before any rank starts; every rank reads it again
  return run_as_ranks(
      options.run.num_ranks, invocation, train::launch_options(config), [&](const train::Context& context) {
        train::Trainer trainer(config, context, options.resume ? train::Resume::newest : train::Resume::no);
        return static_cast<int>(trainer.run());
      });
}

}  // namespace

void add_train(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TrainCommand>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a run file says");
  options->run.add_to(command)->required();
  command->add_flag("--resume", options->resume,
                    "go on from the newest good checkpoint under run.output, up to train.steps in all");
  command->add_flag("--profile", options->profile,
                    "write a Chrome trace of every rank to <run.output>/profile (train.profile = true)");
  command->footer(
      "Examples:\n"
      "  colossal train configs/quickstart.toml -n 2\n"
      "  colossal train configs/quickstart.toml -n 2 --resume --set train.steps=700\n"
      "Ctrl-C, SIGTERM: save after the step, then stop; SIGUSR1: save and go on. torchrun --no-python, "
      "mpirun and srun can\n"
      "start the ranks instead of -n. `colossal config FILE` lists every key.");
  command->callback([=, &invocation] {
    invocation.action = [options, &invocation] {
      if (options->profile) options->run.set.emplace_back("train.profile=true");
      return train(*options, invocation);
    };
  });
}

}  // namespace colossal::cli
