// SPDX-License-Identifier: Apache-2.0
// colossal train: runs a run file.
#include <fmt/format.h>

#include <csignal>

#include "colossal/base/text.h"
#include "colossal/checkpoint/directory.h"
#include "colossal/checkpoint/manifest.h"
#include "colossal/cli/command.h"
#include "colossal/cli/options.h"
#include "colossal/comm/launch/environment.h"
#include "colossal/train/memory_check.h"
#include "colossal/train/resume.h"
#include "colossal/train/trainer.h"

namespace colossal::cli {
namespace {

struct TrainCommand {
  RunFile run;
  bool resume = false;
  bool overwrite = false;
  bool profile = false;

  train::Start start() const {
    return resume ? train::Start::resume : overwrite ? train::Start::overwrite : train::Start::anew;
  }
};

// An end that nobody asked for and that is not the run's own fault: a rank that was killed, is gone or hangs, or ran out of memory.
bool broke_down(int code) {
  constexpr int kHangup = 128 + SIGHUP, kInterrupt = 128 + SIGINT, kTerminate = 128 + SIGTERM;
  if (code > 128) return code != kHangup && code != kInterrupt && code != kTerminate;
  return code == static_cast<int>(ExitCode::peer_lost) || code == static_cast<int>(ExitCode::hang) ||
         code == static_cast<int>(ExitCode::out_of_memory);
}

// Whether this process is the last to speak: that which started the ranks, else rank 0 of another launcher.
bool has_last_word() {
  const comm::RankEnvironment environment = comm::environment_from_launcher();
  return environment.launcher == "single" || (environment.launcher != "colossal" && environment.rank == 0);
}

std::string quoted(const std::string& word) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=./:,@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == word.npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

// How to go on after the run that began at `began` (milliseconds since 1970) broke down. Without --resume, older checkpoints are not its own.
std::string way_on(const TrainCommand& options, const Invocation& invocation, const train::RunConfig& config,
                   int64_t began) {
  std::vector<checkpoint::Found> found = checkpoint::list(config.checkpoint_folder());
  std::erase_if(found, [&](const checkpoint::Found& f) {
    return !f.problem.empty() || (!options.resume && f.written_at < began);
  });
  if (found.empty()) {
    return "colossal: this run has written no checkpoint, so it can only start over. checkpoint.every = 100, "
           "for example, writes one every 100 steps.\n";
  }
  std::vector<std::string> words;
  for (const std::string& word : invocation.arguments)
    if (word != "--overwrite") words.push_back(quoted(word));
  if (!options.resume) words.emplace_back("--resume");
  return fmt::format("colossal: to go on from step {} ({}): {}\n", found.back().step,
                     found.back().folder.string(), join(words, " "));
}

int train(const TrainCommand& options, const Invocation& invocation) {
  if (options.resume && options.overwrite) {
    throw ConfigError(
        "command line: --resume goes on with the run that run.output holds, --overwrite removes it. Give one "
        "of them. See `colossal train --help`.");
  }
  const train::RunConfig config =
      options.run.load();  // checked before any rank starts; every rank reads it again
  const train::LaunchOptions launch = train::launch_options(config);
  if (const int ranks_here = ranks_to_check(options.run.num_ranks); ranks_here > 0) {
    if (options.start() == train::Start::anew) train::check_holds_no_run(config);
    const bool starts_ranks =
        ranks_here > 1 && comm::environment_from_launcher().launcher == "single";  // else they are there
    train::check_memory(config, ranks_here, starts_ranks ? process_bytes() : 0);
  }
  const int64_t began = checkpoint::milliseconds_now();
  const int code =
      run_as_ranks(options.run.num_ranks, invocation, launch, [&](const train::Context& context) {
        train::Trainer trainer(config, context, options.start());
        return static_cast<int>(trainer.run());
      });
  if (broke_down(code) && has_last_word())
    fmt::print(stderr, "{}", way_on(options, invocation, config, began));
  return code;
}

}  // namespace

void add_train(CLI::App& app, Invocation& invocation) {
  auto options = std::make_shared<TrainCommand>();
  CLI::App* command = app.add_subcommand("train", "Train a model as a run file says");
  options->run.add_to(command)->required();
  command->add_flag("--resume", options->resume,
                    "go on from the newest good checkpoint under run.output, up to train.steps in all");
  command->add_flag("--overwrite", options->overwrite,
                    "begin anew where run.output holds a run: its checkpoints are removed");
  command->add_flag("--profile", options->profile,
                    "write a Chrome trace of every rank to <run.output>/profile (train.profile = true)");
  command->footer(
      "Examples:\n"
      "  colossal train configs/quickstart.toml -n 2\n"
      "  colossal train configs/quickstart.toml -n 2 --resume --set train.steps=700\n"
      "Ctrl-C, SIGTERM, SIGHUP: save after the step, then stop; SIGUSR1: save and go on. torchrun "
      "--no-python, "
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
